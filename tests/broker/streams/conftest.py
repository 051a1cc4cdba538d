"""A broker with streams, and a door that remembers what it was told."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import pytest

from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.streams.stream import IngestStream
from headrace.wire.batch import BatchHeader, peek
from headrace.wire.errors import RequestError
from headrace.wire.records import Record, read_records


class Door:
    """A StreamOwner."""

    def __init__(self) -> None:
        self.acks: list[int] = []
        self.caught_up_times = 0
        self.graces: list[int] = []
        self.failures: list[RequestError] = []

    def durable(self, messages: int) -> None:
        self.acks.append(messages)

    def caught_up(self) -> None:
        self.caught_up_times += 1

    def close_asked(self, grace_ms: int) -> None:
        self.graces.append(grace_ms)

    def failed(self, error: RequestError) -> None:
        self.failures.append(error)


class Place:
    """One start of a broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.streams = broker.streams

    async def open(self, topic: str = "t", **rest: Any) -> tuple[IngestStream, Door]:
        door = Door()
        return await self.streams.open(topic, door, **rest), door

    async def create(self, topic: str = "t") -> tuple[IngestStream, Door]:
        door = Door()
        return await self.streams.create(topic, door, record_type="JSON"), door

    async def resume(self, stream_id: str) -> tuple[IngestStream, Door]:
        door = Door()
        return await self.streams.resume(stream_id, door, record_type="JSON"), door

    async def batches(self, topic: str, partition: int = 0) -> list[tuple[BatchHeader, bytes]]:
        """All that can be read of a partition."""
        import os

        log = self.broker.topics.partition(topic, partition).log
        found = await log.read(log.offsets().start, 1 << 30, at_least_one=True)
        data = os.pread(found.file, found.size_bytes, found.position) if found.size_bytes else b""
        found.release()
        batches = []
        while data:
            header = peek(data)
            batches.append((header, data[: header.size_bytes]))
            data = data[header.size_bytes :]
        return batches

    async def records(self, topic: str = "t", partition: int = 0) -> list[Record]:
        return [
            record
            for _, batch in await self.batches(topic, partition)
            for record in read_records(batch)
        ]

    async def values(self, topic: str = "t", partition: int = 0) -> list[bytes | None]:
        return [record.value for record in await self.records(topic, partition)]


Body = Callable[[Place], Coroutine[Any, Any, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """`run(body)` starts a broker on the test's own directory, runs `body(place)`, closes it."""

    def run(body: Body, *, durability: Literal["fsync", "os"] = "fsync", **broker: str) -> Any:
        async def started() -> Any:
            named = {name.replace("_", "."): value for name, value in broker.items()}
            options = BrokerOptions(str(tmp_path), durability=durability, broker_configs=named)
            opened = await Broker.open(options)
            try:
                return await body(Place(opened))
            finally:
                await opened.close()

        return asyncio.run(started())

    return run
