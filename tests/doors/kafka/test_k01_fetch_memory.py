"""What a connection remembers of its fetches changes what they cost, and nothing else: whatever
happened meanwhile, it is answered as one that asks for the first time."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.append import find_partition
from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.fetching import Room
from headrace.doors.kafka.k01_fetch import Fetches
from headrace.testing.hot_messages import FetchPartition, FetchRequest, FetchTopic
from headrace.testing.raw_client import batch
from headrace.wire import schema
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.header import RequestHead
from headrace.wire.markers import Marker

ACKS_LEADER = 1
PARTITIONS = 6
STEPS = 120


def run(tmp_path: Path, body: Callable[[Broker], Any]) -> Any:
    async def opened() -> Any:
        broker = await Broker.open(BrokerOptions(str(tmp_path), durability="os"))
        try:
            return await body(broker)
        finally:
            await broker.close()

    return asyncio.run(opened())


def append(broker: Broker, topic: str, partition: int, records: bytes) -> None:
    log = find_partition(broker, topic, partition).log
    log.append(memoryview(bytearray(records)), ACKS_LEADER, None)


async def answer(fetches: Fetches, request: FetchRequest, version: int) -> list[Any]:
    """The answer's bytes; of records what they are in their file."""
    head = RequestHead(ApiKey.FETCH, version, 7, "reader", 0)
    read = fetches.read(memoryview(schema.encode(request, version)), head)
    told: list[Any] = []
    for part in await fetches.serve(read, head):
        if isinstance(part, bytes):
            told.append(part)
        else:
            told.append((part.position, part.size_bytes, part.next_offset))
            part.release()
    return told


class Reader:
    """A client that asks for partitions of two topics, and changes a little of it each time."""

    def __init__(self, draw: random.Random, broker: Broker, version: int) -> None:
        self.draw = draw
        self.broker = broker
        self.version = version
        self.committed = False
        self.wants = {(topic, index): 0 for topic in ("one", "two") for index in range(3)}
        self.size_max = 1 << 20

    def request(self) -> FetchRequest:
        topics = []
        for name in ("one", "two"):
            wants = [
                FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=300)
                for (topic, index), offset in self.wants.items()
                if topic == name
            ]
            known = self.broker.topics.by_name.get(name)
            if self.version >= 13:
                if known is not None:
                    topics.append(FetchTopic(topic_id=known.id, partitions=wants))
            else:
                topics.append(FetchTopic(topic=name, partitions=wants))
        return FetchRequest(
            max_wait_ms=0,
            max_bytes=self.size_max,
            isolation_level=int(self.committed),
            topics=topics,
        )

    def change(self) -> None:
        what = self.draw.random()
        key = self.draw.choice(list(self.wants))
        if what < 0.5:
            self.wants[key] += self.draw.choice([0, 1, 1, 2, 5])
        elif what < 0.6:
            self.wants[key] = self.draw.choice([0, 3, 10_000])
        elif what < 0.7:
            other = self.draw.choice(("one", "two")), self.draw.randrange(PARTITIONS + 1)
            self.wants.setdefault(other, 0)
        elif what < 0.8 and len(self.wants) > 2:
            del self.wants[key]
        elif what < 0.85:
            self.committed = not self.committed
        elif what < 0.9:
            self.size_max = self.draw.choice([1, 200, 1 << 20])


class World:
    """What happens to the topics meanwhile."""

    def __init__(self, draw: random.Random, broker: Broker) -> None:
        self.draw = draw
        self.broker = broker
        self.sequences: dict[tuple[str, int], int] = {}

    async def change(self) -> None:
        what = self.draw.random()
        name, index = self.draw.choice(("one", "two")), self.draw.randrange(PARTITIONS)
        topics = self.broker.topics
        with suppress(RequestError):
            if what < 0.5:
                append(self.broker, name, index, batch([b"value"] * self.draw.randrange(1, 4)))
            elif what < 0.7:
                self._write_in_transaction(name, index)
            elif what < 0.8:
                marker = Marker(index, 0, 0, commit=self.draw.random() < 0.5)
                find_partition(self.broker, name, index).log.append_marker(marker, print)
            elif what < 0.9:
                offset = self.draw.randrange(8)
                await find_partition(self.broker, name, index).log.delete_before(offset)
            elif what < 0.93:
                await topics.delete(name)
                self.sequences = {key: n for key, n in self.sequences.items() if key[0] != name}
            elif what < 0.96:
                await topics.create(f"other-{self.draw.random()}", 1)
        for missing in {"one", "two"} - topics.by_name.keys():
            if self.draw.random() < 0.3:
                await topics.create(missing, PARTITIONS)

    def _write_in_transaction(self, name: str, index: int) -> None:
        """Partition N is written to by producer N, so that its transactions go on."""
        sequence = self.sequences.get((name, index), 0)
        records = batch(
            [b"wait"],
            producer_id=index,
            producer_epoch=0,
            base_sequence=sequence,
            transactional=True,
        )
        append(self.broker, name, index, records)
        self.sequences[name, index] = sequence + 1


@pytest.mark.parametrize("version", [4, 11, 12, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_connection_that_remembers_is_answered_as_one_that_does_not(
    version: int, seed: int, tmp_path: Path
) -> None:
    draw = random.Random(seed)

    async def body(broker: Broker) -> int:
        for name in ("one", "two"):
            await broker.topics.create(name, PARTITIONS)
        world, reader = World(draw, broker), Reader(draw, broker, version)
        remembering = Fetches(broker, Room())
        with_records = 0
        for _ in range(STEPS):
            for _ in range(draw.randrange(3)):
                await world.change()
            for _ in range(draw.randrange(3)):
                reader.change()
            request = reader.request()
            told = await answer(remembering, request, version)
            assert told == await answer(Fetches(broker, Room()), request, version)
            with_records += len(told) > 1
        return with_records

    assert run(tmp_path, body) > STEPS // 10


def test_nothing_is_remembered_of_a_fetch_that_was_refused(tmp_path: Path) -> None:
    """A hundred thousand partitions a connection would be, and none of them in the room."""

    async def body(broker: Broker) -> None:
        fetches = Fetches(broker, Room(0))
        wants = [FetchPartition(partition=index) for index in range(100)]
        topics = [FetchTopic(topic="one", partitions=wants)]
        request = FetchRequest(session_id=5, session_epoch=1, topics=topics)
        await answer(fetches, request, 11)
        assert not fetches._known

    run(tmp_path, body)


def test_what_waits_without_being_remembered_is_bounded(tmp_path: Path) -> None:
    async def body(broker: Broker) -> None:
        await broker.topics.create("one", 3)
        room = Room(0, waiting_places_max=4)
        wants = [FetchPartition(partition=index) for index in range(3)]
        topics = [FetchTopic(topic="one", partitions=wants)]
        request = FetchRequest(max_wait_ms=30_000, min_bytes=1, topics=topics)
        first = asyncio.ensure_future(answer(Fetches(broker, room), request, 11))
        await asyncio.sleep(0)
        told = await asyncio.wait_for(answer(Fetches(broker, room), request, 11), 10)
        assert [type(part) for part in told] == [bytes]
        assert not first.done()
        append(broker, "one", 2, batch([b"woken"]))
        assert len(await asyncio.wait_for(first, 10)) > 1
        assert room.waiting_places_free == 4

    run(tmp_path, body)


def test_a_parked_fetch_wakes_for_any_of_its_partitions_and_for_those_only(tmp_path: Path) -> None:
    async def body(broker: Broker) -> None:
        await broker.topics.create("one", 3)
        fetches = Fetches(broker, Room())
        offsets = [0, 0, 0]
        for index in (2, 0, 1, 1):
            wants = [
                FetchPartition(partition=place, fetch_offset=offset)
                for place, offset in enumerate(offsets)
            ]
            topics = [FetchTopic(topic="one", partitions=wants)]
            request = FetchRequest(max_wait_ms=30_000, min_bytes=1, topics=topics)
            parked = asyncio.ensure_future(answer(fetches, request, 11))
            await asyncio.sleep(0.01)
            assert not parked.done()
            append(broker, "one", index, batch([b"woken"]))
            told = await asyncio.wait_for(parked, 10)
            assert [part[2] for part in told if not isinstance(part, bytes)] == [offsets[index] + 1]
            offsets[index] += 1

    run(tmp_path, body)


def test_min_bytes_may_come_from_several_partitions(tmp_path: Path) -> None:
    async def body(broker: Broker) -> None:
        await broker.topics.create("one", 2)
        wants = [FetchPartition(partition=0), FetchPartition(partition=1)]
        size = len(batch([b"half"]))
        request = FetchRequest(
            max_wait_ms=30_000,
            min_bytes=2 * size,
            topics=[FetchTopic(topic="one", partitions=wants)],
        )
        parked = asyncio.ensure_future(answer(Fetches(broker, Room()), request, 11))
        await asyncio.sleep(0)
        append(broker, "one", 0, batch([b"half"]))
        await asyncio.sleep(0.01)
        assert not parked.done()
        append(broker, "one", 1, batch([b"half"]))
        assert len(await asyncio.wait_for(parked, 10)) == 5

    run(tmp_path, body)


def test_who_finds_no_room_is_served_and_not_remembered(tmp_path: Path) -> None:
    async def body(broker: Broker) -> None:
        topic = await broker.topics.create("one", 2)
        append(broker, "one", 1, batch([b"there"]))
        wants = [FetchPartition(partition=0), FetchPartition(partition=1)]
        request = FetchRequest(topics=[FetchTopic(topic="one", partitions=wants)])
        room = Room(places_max=3)
        first, second = Fetches(broker, room), Fetches(broker, room)
        told = await answer(first, request, 11)
        assert len(told) == 3
        assert await answer(second, request, 11) == told
        logs: list[Any] = [partition.log for partition in topic.partitions]
        assert [len(log._watchers) for log in logs] == [1, 1]
        first.forget()
        assert [len(log._watchers) for log in logs] == [0, 0]
        assert room.places_free == 3

    run(tmp_path, body)
