"""Elastic topics on a real broker: partitions come and go under streams, and nothing is lost."""

import asyncio
import json
from typing import Any

import pytest

from headrace.broker.streams.decisions import DECISIONS_TOPIC
from headrace.wire.errors import ErrorCode, RequestError

ELASTIC = {
    "headrace.partitions.elastic": "true",
    "headrace.partitions.max": "4",
    "headrace.partitions.hot.bytes.per.second": "1000",
    "headrace.partitions.cool.down.ms": "5000",
    "headrace.stream.close.grace.ms": "100",
}


class Looks:
    """The broker's own looks, on a clock of the test."""

    def __init__(self, place: Any) -> None:
        self.place = place
        self.now_s = 1e6
        for task in place.streams._tasks:
            task.cancel()

    async def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.now_s += 0.5
            await self.place.streams.look(self.now_s)

    def active(self) -> list[int]:
        [lanes] = self.place.streams.topics()
        return [lane.partition.index for lane in lanes.active()]


async def write_hot(looks: Looks, streams: list[Any], seconds: float) -> None:
    for _ in range(round(seconds / 0.5)):
        for stream in streams:
            stream.append([b"x" * 2000])
        await asyncio.gather(*(stream.drain() for stream in streams))
        await looks.go_on(0.5)


def test_partitions_open_under_load_and_are_retired_and_reused(run: Any) -> None:
    async def first(place: Any) -> None:
        looks = Looks(place)
        await place.broker.topics.create("t", 1, ELASTIC)
        opened = [await place.open()]
        await write_hot(looks, [opened[0][0]], 10)
        assert looks.active() == [0, 1]
        opened.append(await place.open())
        assert opened[1][0].partition == 1  # the idle one
        await write_hot(looks, [stream for stream, _ in opened], 10)
        assert len(looks.active()) == 4  # doubled
        for number in (2, 3):
            opened.append(await place.open())
            opened[-1][0].append([b"before"])
            await opened[-1][0].drain()
            assert opened[-1][0].partition == number
        await looks.go_on(60)
        assert looks.active() == [0]
        asked = [bool(door.graces) for _, door in opened]
        assert asked == [False, True, True, True]
        assert await place.values("t", 2) == [b"before"]  # readable as ever

    async def second(place: Any) -> list[Any]:
        looks = Looks(place)
        stream, _ = await place.open()
        assert (stream.partition, looks.active()) == (0, [0])  # still retired
        await write_hot(looks, [stream], 10)
        assert looks.active() == [0, 1]  # the first of those that were retired
        assert len(place.broker.topics.get("t").partitions) == 4
        await place.streams._decisions.close()
        return [json.loads(value) for value in await place.values(DECISIONS_TOPIC)]

    run(first)
    events = run(second)
    actions = [event["action"] for event in events if event["action"] != "bind"]
    assert actions == ["open", "open", "retire", "retire", "retire", "reopen"]
    assert all(event["bytes_per_s"] >= 0 for event in events if event["action"] == "open")


def test_a_hot_partition_is_relieved_of_its_slowest_streams(run: Any) -> None:
    async def body(place: Any) -> None:
        looks = Looks(place)
        await place.broker.topics.create("t", 1, ELASTIC)
        opened = [await place.open() for _ in range(4)]
        fast, *slow = [stream for stream, _ in opened]
        for _ in range(60):
            fast.append([b"x" * 5000])
            for stream in slow:
                stream.append([b"x"])
            await looks.go_on(0.5)
        assert opened[0][1].graces == []
        assert any(door.graces for _, door in opened[1:])

    run(body)


def test_persistent_streams_stay_where_they_are(run: Any) -> None:
    async def body(place: Any) -> None:
        looks = Looks(place)
        await place.broker.topics.create("t", 2, ELASTIC)
        one, _ = await place.open()
        kept, door = await place.create()
        assert (one.partition, kept.partition) == (0, 1)
        await looks.go_on(20)
        assert looks.active() == [0]
        assert door.graces == []
        kept.append([b"x"])
        await kept.drain()
        again, _ = await place.resume(kept.id)
        assert (again.partition, again.next_offset) == (1, 1)

    run(body)


def test_draining_a_partition_of_an_elastic_topic_retires_it_but_not_the_last(run: Any) -> None:
    async def body(place: Any) -> None:
        looks = Looks(place)
        await place.broker.topics.create("t", 2, ELASTIC)
        _, door = await place.open()
        assert await place.streams.drain(topic="t", partition=0) == 1
        assert (door.graces, looks.active()) == ([100], [1])
        other, _ = await place.open()
        assert other.partition == 1
        with pytest.raises(RequestError) as raised:
            await place.streams.drain(topic="t", partition=1)
        assert raised.value.code == ErrorCode.POLICY_VIOLATION

    run(body)


def test_a_retirement_that_cannot_be_written_changes_nothing(run: Any) -> None:
    async def body(place: Any) -> None:
        looks = Looks(place)
        await place.broker.topics.create("t", 2, ELASTIC)
        _, door = await place.open()

        async def fails(*_: Any) -> None:
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "disk full")

        place.broker.catalog.streams.retire_partition = fails
        await looks.go_on(20)
        assert (looks.active(), door.graces) == ([0, 1], [])

    run(body)


def test_bounds_that_contradict_each_other_are_refused(run: Any) -> None:
    async def body(place: Any) -> None:
        with pytest.raises(RequestError) as raised:
            await place.broker.topics.create(
                "t", 1, {"headrace.partitions.min": "5", "headrace.partitions.max": "4"}
            )
        assert raised.value.code == ErrorCode.INVALID_CONFIG

    run(body)


def test_many_streams_through_opening_and_retiring_lose_and_reorder_nothing(run: Any) -> None:
    """Producers that obey close signals, against a topic whose partitions come and go."""

    async def produce(place: Any, number: int, sent: dict[str, int]) -> None:
        stream, door = await place.open()
        for count in range(200):
            if door.graces or door.failures:
                await stream.drain()
                sent[stream.id] = stream.next_offset
                stream.close()
                stream, door = await place.open()
            stream.append([b"%d" % stream.next_offset])
            if count % 5 == number % 5:
                await asyncio.sleep(0)
        await stream.drain()
        sent[stream.id] = stream.next_offset
        stream.close()

    async def body(place: Any) -> None:
        looks = Looks(place)
        more = {"headrace.partitions.max": "8", "headrace.stream.close.grace.ms": "30000"}
        await place.broker.topics.create("t", 1, ELASTIC | more)
        sent: dict[str, int] = {}
        producing = asyncio.gather(*(produce(place, number, sent) for number in range(100)))
        hot = True
        while not producing.done():
            await looks.go_on(3 if hot else 12)
            hot = not hot
            await asyncio.sleep(0.01)
        await producing
        partitions = len(place.broker.topics.get("t").partitions)
        assert partitions > 1
        found: dict[int, int] = {}
        for index in range(partitions):
            for header, _ in await place.batches("t", index):
                assert header.base_sequence == found.get(header.producer_id, 0)
                found[header.producer_id] = header.base_sequence + header.records_count
        assert sorted(found.values()) == sorted(sent.values())
        assert sum(found.values()) == 100 * 200

    run(body)
