import asyncio
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.broker.broker_configs import BrokerConfigs
from headrace.broker.topics import Topics
from headrace.catalog.catalog import Catalog
from headrace.log.contract import CorruptLogError, LogConfig, LogOffsets


class FakeLog:
    """A log of no records that remembers what it was told."""

    def __init__(self, config: LogConfig) -> None:
        self.leader_epoch = 0
        self.config = config
        self.is_open = True

    def configure(self, config: LogConfig) -> None:
        self.config = config

    def offsets(self) -> LogOffsets:
        return LogOffsets(0, 0, 0, 0)

    async def close(self) -> None:
        self.is_open = False


class FakeStore:
    """Directories as a dictionary that outlives a `Topics`, like a disk."""

    def __init__(self) -> None:
        self.disk: dict[UUID, set[int]] = {}
        self.corrupt: set[tuple[UUID, int]] = set()
        self.open_fails_at: int | None = None
        self.synced: list[UUID] = []
        self.opening = 0
        self.opening_most = 0
        self.logs: list[FakeLog] = []
        self.gate: asyncio.Event | None = None
        """Opening waits for it."""

    async def open_log(
        self, topic_id: UUID, partition: int, config: LogConfig, *, must_exist: bool = False
    ) -> FakeLog:
        self.opening += 1
        self.opening_most = max(self.opening_most, self.opening)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.opening -= 1
        if must_exist and partition not in self.disk.get(topic_id, ()):
            raise CorruptLogError("the directory is missing")
        if partition == self.open_fails_at:
            raise OSError(28, "No space left on device")
        if (topic_id, partition) in self.corrupt:
            raise CorruptLogError("00000000000000000000.log at 4096: the checksum does not match")
        self.disk.setdefault(topic_id, set()).add(partition)
        self.logs.append(FakeLog(config))
        return self.logs[-1]

    async def sync_topic(self, topic_id: UUID) -> None:
        self.synced.append(topic_id)

    async def delete_topic(self, topic_id: UUID) -> None:
        self.disk.pop(topic_id, None)

    def topic_ids(self) -> set[UUID]:
        return set(self.disk)


class World:
    """One start of the topics service on a directory and a disk that stay."""

    def __init__(self, catalog: Catalog, store: FakeStore, configs: BrokerConfigs) -> None:
        self.catalog = catalog
        self.store = store
        self.configs = configs
        self.topics: Topics
        self.clock = itertools.count(1_700_000_000_000)


Body = Callable[[World], Coroutine[Any, Any, Any]]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def with_topics(tmp_path: Path, store: FakeStore) -> Callable[..., Any]:
    """Run `body(world)` after a start of the topics service; each call is another start."""

    def run(
        body: Body, *, broker: dict[str, str] | None = None, topic: dict[str, str] | None = None
    ) -> Any:
        async def started() -> Any:
            catalog = await Catalog.open(str(tmp_path))
            try:
                configs = await BrokerConfigs.load(
                    catalog.configs, broker=broker or {}, topic=topic or {}, facts={}
                )
                world = World(catalog, store, configs)
                world.topics = await Topics.open(
                    catalog.topics, store, configs, lambda: next(world.clock)
                )
                result = await body(world)
                await world.topics.close()
                return result
            finally:
                await catalog.close()

        return asyncio.run(started())

    return run
