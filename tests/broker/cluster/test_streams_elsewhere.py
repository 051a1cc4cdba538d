"""Ingest streams on the first worker keep their promises in the partitions of others."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from headrace.broker.broker import Broker
from headrace.broker.cluster import links as links_module
from headrace.broker.rejected_records import BadRecord, set_aside
from headrace.broker.streams import decisions
from headrace.broker.topic_configs import DEAD_LETTERS_ALLOWED
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.records import read_records


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


class Owner:
    """Of a stream: what it heard."""

    def __init__(self) -> None:
        self.messages = 0
        self.error: RequestError | None = None
        self.asked: list[int] = []

    def durable(self, messages: int) -> None:
        self.messages = messages

    def caught_up(self) -> None:
        """Nothing waits."""

    def close_asked(self, grace_ms: int) -> None:
        self.asked.append(grace_ms)

    def failed(self, error: RequestError) -> None:
        self.error = error


async def values(broker: Broker, topic: str, partition: int) -> list[bytes]:
    found = await broker.topics.partition(topic, partition).log.read(0, 1 << 30, at_least_one=True)
    data = memoryview(os.pread(found.file, found.size_bytes, found.position))
    found.release()
    read: list[bytes] = []
    while data:
        size = 12 + int.from_bytes(data[8:12], "big")
        read += [bytes(record.value or b"") for record in read_records(data[:size])]
        data = data[size:]
    return read


async def remote_stream(workers: Any, owner: Owner, **options: Any) -> Any:
    """A stream that is bound to a partition of another worker."""
    first = workers.all[0]
    if "t" not in first.topics.by_name:
        await first.topics.create("t", 3)
    opening = first.streams.create if options.pop("persistent", False) else first.streams.open
    for _ in range(9):
        stream = await opening("t", owner)
        if not stream.lane.partition.is_mine:
            return stream
    raise AssertionError("every stream went to one worker")


async def restart(workers: Any, index: int) -> None:
    workers.all[index] = await workers.open(index)


def test_streams_go_to_the_partitions_of_every_worker(with_workers: Callable[..., None]) -> None:
    async def body(workers: Any) -> None:
        first = workers.all[0]
        await first.topics.create("t", 3)
        owner = Owner()
        streams = [await first.streams.open("t", owner) for _ in range(6)]
        assert sorted(stream.partition for stream in streams) == [0, 0, 1, 1, 2, 2]
        for number, stream in enumerate(streams):
            stream.append([b"%d:%d" % (number, n) for n in range(3)])
            stream.append([b"%d:3" % number])
            await stream.drain()
        assert owner.messages == 4
        for number, stream in enumerate(streams):
            found = await values(workers.owner("t", stream.partition), "t", stream.partition)
            mine = [value for value in found if value.startswith(b"%d:" % number)]
            assert mine == [b"%d:%d" % (number, n) for n in range(4)]
            stream.close()
        await workers.write("t", streams[0].partition, b"x" * 1000)
        await first.streams.look(1e9)
        produced = [partition.produced_bytes for partition in first.topics.get("t").partitions]
        for partition in range(3):
            at = workers.owner("t", partition).topics.partition("t", partition)
            assert produced[partition] == at.produced_bytes > 0
        assert first.topics.get("t").produced_bytes == sum(
            part.produced_bytes for part in first.topics.get("t").partitions if part.is_mine
        )

    with_workers(body)


def test_a_stream_outlives_the_death_of_its_partitions_worker(
    with_workers: Callable[..., None],
) -> None:
    async def body(workers: Any) -> None:
        owner = Owner()
        stream = await remote_stream(workers, owner)
        at = workers.all.index(workers.owner("t", stream.partition))
        for number in range(10):
            stream.append([b"%d" % number])
        await workers.all[at].close()
        for number in range(10, 30):
            stream.append([b"%d" % number])
        await asyncio.sleep(0.02)
        assert owner.error is None
        again = [await workers.all[0].streams.open("t", Owner()) for _ in range(4)]
        assert stream.partition not in {one.partition for one in again}
        await restart(workers, at)
        await stream.drain()
        assert owner.messages == 30
        found = await values(workers.all[at], "t", stream.partition)
        assert found == [b"%d" % number for number in range(30)]

    with_workers(body)


def test_a_persistent_stream_is_resumed_where_its_partition_has_it(
    with_workers: Callable[..., None],
) -> None:
    async def body(workers: Any) -> None:
        stream = await remote_stream(workers, Owner(), persistent=True)
        id_, partition = stream.id, stream.partition
        stream.append([b"0", b"1a", b"1b", b"2"], [1, 2, 1])
        await stream.drain()
        stream.append([b"3"])
        resumed = await workers.all[0].streams.resume(id_, Owner())  # taken from the other one
        assert resumed.next_offset == 4
        resumed.append([b"4"])
        await resumed.drain()
        resumed.append([b"5"])
        await workers.all[0].close()
        await restart(workers, 0)
        resumed = await workers.all[0].streams.resume(id_, Owner())
        found = await values(workers.owner("t", partition), "t", partition)
        whole = [b"0", b"1a", b"1b", b"2", b"3", b"4", b"5"]
        assert found in (whole, whole[:-1])
        assert resumed.next_offset == len(found) - 1
        assert resumed.partition == partition
        resumed.append([b"last"])
        await resumed.drain()
        assert await values(workers.owner("t", partition), "t", partition) == [*found, b"last"]

    with_workers(body)


def test_resuming_waits_for_a_worker_to_come_back_and_not_for_ever(
    with_workers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(workers: Any) -> None:
        first = workers.all[0]
        stream = await remote_stream(workers, Owner(), persistent=True)
        id_, at = stream.id, workers.all.index(workers.owner("t", stream.partition))
        stream.append([b"0"])
        await stream.drain()
        stream.close()
        await workers.all[at].close()
        resuming = asyncio.create_task(first.streams.resume(id_, Owner()))
        await asyncio.sleep(0.05)
        await restart(workers, at)
        resumed = await resuming
        assert resumed.next_offset == 1
        resumed.close()
        await workers.all[at].close()
        monkeypatch.setattr(links_module, "OWNER_WAIT_S", 0.1)
        with pytest.raises(RequestError) as refused:
            await first.streams.resume(id_, Owner())
        assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER

    with_workers(body)


def test_decisions_and_rejected_records_reach_whoever_keeps_them(
    with_workers: Callable[..., None],
) -> None:
    async def body(workers: Any) -> None:
        first = workers.all[0]
        await first.topics.create("t", 3)
        await first.topics.create("dlq.bad", 3, {DEAD_LETTERS_ALLOWED: "true"})
        for number in range(3):
            await first.streams.open("t", Owner())
            bad = [BadRecord(b"bad", 0, 0, "why not")]
            await set_aside(first, "dlq.bad", "t", f"stream-{number}", bad)
        counts = [
            workers.owner("dlq.bad", n).topics.partition("dlq.bad", n).log.offsets().high_watermark
            for n in range(3)
        ]
        assert sum(counts) == 3
        topic = decisions.DECISIONS_TOPIC
        await until(lambda: all(topic in broker.topics.by_name for broker in workers.all))
        keeper = workers.owner(topic, 0)
        log = keeper.topics.partition(topic, 0).log
        await until(lambda: log.offsets().high_watermark == 3)
        told = [json.loads(event) for event in await values(keeper, topic, 0)]
        assert [event["action"] for event in told] == ["bind"] * 3

    with_workers(body, broker_configs={"auto.create.topics.enable": "false"})


def test_elastic_topics_open_partitions_wherever_they_belong(
    with_workers: Callable[..., None],
) -> None:
    async def body(workers: Any) -> None:
        first = workers.all[0]
        await first.topics.create("e", 2, {"headrace.partitions.elastic": "true"})
        await first.topics.add_partitions("e", 4)
        streams = [await first.streams.open("e", Owner()) for _ in range(4)]
        assert sorted(stream.partition for stream in streams) == [0, 1, 2, 3]
        for stream in streams:
            stream.append([b"x"])
            await stream.drain()
        last = streams[-1]
        await first.streams.drain(topic="e", partition=last.partition)
        fresh = [await first.streams.open("e", Owner()) for _ in range(6)]
        assert last.partition not in {stream.partition for stream in fresh}
        await first.topics.delete("e")
        assert all(stream.refusal is not None for stream in streams)

    with_workers(body)


def test_only_the_first_worker_routes_streams(with_workers: Callable[..., None]) -> None:
    async def body(workers: Any) -> None:
        await workers.all[0].topics.create("t", 3)
        other = workers.all[1]
        for asking in (
            other.streams.open("t", Owner()),
            other.streams.drain(topic="t", partition=0),
        ):
            with pytest.raises(RequestError) as refused:
                await asking
            assert refused.value.code is ErrorCode.NOT_CONTROLLER

    with_workers(body)


def test_subscriptions_are_refused_in_plain_words(with_workers: Callable[..., None]) -> None:
    async def body(workers: Any) -> None:
        first = workers.all[0]
        await first.topics.create("t", 1)
        with pytest.raises(RequestError, match="workers") as refused:
            await first.subscriptions.open("t", "g", durable=None, since_ms=-2, client="c")
        assert refused.value.code is ErrorCode.UNSUPPORTED_VERSION

    with_workers(body)
