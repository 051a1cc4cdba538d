"""Several workers in one process: each with marks and a lock of its own, on the same topics and the
same catalog, as the supervisor arranges it for processes."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.broker.append import ACKS_ALL, append
from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.cluster.ownership import Ownership
from headrace.wire.errors import RequestError
from headrace.wire.packing import pack_values
from headrace.wire.produce import PartitionBatch


class Workers:
    """`all[i]` is the broker of worker i."""

    def __init__(self, root: Path, links: str, count: int, options: dict[str, Any]) -> None:
        self.all: list[Broker] = []
        self._root = root
        self._links = links
        self._count = count
        self._options = options

    async def open(self, index: int) -> Broker:
        directory = self._root / str(index)
        directory.mkdir(exist_ok=True)
        for name in ("topics", "catalog.db", "catalog.db-reserve"):
            if not (directory / name).is_symlink():
                os.symlink(self._root / name, directory / name)
        return await Broker.open(
            BrokerOptions(
                str(directory),
                "os",
                ownership=Ownership(index, self._count, 1),
                links_dir=self._links,
                **self._options,
            )
        )

    async def linked(self) -> None:
        for broker in self.all:
            for other in broker.ownership.others:
                await until(lambda broker=broker, other=other: broker.peers.is_linked(other))
            await broker.changes.wait()

    def owner(self, topic: str, partition: int) -> Broker:
        ownership = self.all[0].ownership
        topic_id: UUID = self.all[0].topics.get(topic).id
        return self.all[ownership.owner_of_partition(topic_id, partition)]

    async def write(self, topic: str, partition: int, *values: bytes) -> None:
        broker = self.owner(topic, partition)
        batch = pack_values(values, [*map(len, values)], broker.now_ms(), (-1, -1, -1))
        heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        append(
            broker, PartitionBatch(topic, partition, memoryview(batch)), ACKS_ALL, heard.set_result
        )
        outcome = await heard
        assert not isinstance(outcome, RequestError)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def name_of(worker: int, owner_of: Callable[[str], int]) -> str:
    """An id that this worker owns."""
    return next(f"id-{n}" for n in range(1000) if owner_of(f"id-{n}") == worker)


@contextlib.asynccontextmanager
async def opened(
    root: Path, links: str, count: int, options: dict[str, Any]
) -> AsyncIterator[Workers]:
    (root / "topics").mkdir()
    workers = Workers(root, links, count, options)
    try:
        for index in range(count):
            workers.all.append(await workers.open(index))
        await workers.linked()
        yield workers
    finally:
        for broker in workers.all:
            await broker.close()


@pytest.fixture
def links_dir() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as made:  # Unix sockets have short names
        yield made


@pytest.fixture
def with_workers(tmp_path: Path, links_dir: str) -> Callable[..., None]:
    def run(body: Callable[[Workers], Awaitable[None]], *, count: int = 3, **options: Any) -> None:
        async def run_all() -> None:
            async with opened(tmp_path, links_dir, count, options) as workers:
                await asyncio.wait_for(body(workers), 40)

        asyncio.run(run_all())

    return run
