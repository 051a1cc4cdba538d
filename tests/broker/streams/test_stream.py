"""What a stream promises its door, on a real log."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.broker.streams import contract, decisions
from headrace.log.contract import Appended
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.records import Record


def test_one_append_is_one_batch_with_the_streams_id_and_sequence(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.open()
        stream.append([b"a", b"b"])
        stream.append([b"c", memoryview(b"xdx")[1:2]])
        await stream.drain()
        headers = [header for header, _ in await place.batches("t")]
        assert [(h.producer_id, h.producer_epoch, h.base_sequence) for h in headers] == [
            (stream.kind.producer_id, 0, 0),
            (stream.kind.producer_id, 0, 2),
        ]
        assert await place.values() == [b"a", b"b", b"c", b"d"]
        assert door.acks[-1] == 4

    run(body)


def test_acks_rise_and_name_only_what_is_durable(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.open()
        log = stream.lane.partition.log
        seen = []
        door.durable = lambda messages: seen.append((messages, log.offsets().high_watermark))
        for _ in range(20):
            stream.append([b"x"] * 3)
            await asyncio.sleep(0)
        await stream.drain()
        assert seen[-1][0] == 60
        assert all(messages <= watermark for messages, watermark in seen)
        assert [messages for messages, _ in seen] == sorted({messages for messages, _ in seen})

    run(body)


def test_a_message_of_many_records_has_one_offset(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.open()
        stream.append([b"a", b"b", b"c"], [1, 0, 2])
        assert stream.next_offset == 3
        await stream.drain()
        assert door.acks[-1] == 3
        stream.append([], [0])
        assert door.acks[-1] == 4
        assert len(await place.values()) == 3

    run(body)


def test_an_append_is_divided_where_the_topic_takes_smaller_batches(run: Any) -> None:
    async def body(place: Any) -> None:
        await place.broker.topics.create("small", 1, {"max.message.bytes": "1000"})
        stream, door = await place.open("small")
        values = [bytes([65 + number]) * 300 for number in range(10)]
        stream.append(values)
        await stream.drain()
        assert await place.values("small") == values
        assert len(await place.batches("small")) == 5
        with pytest.raises(RequestError, match="message 1 of this append") as raised:
            stream.append([b"fits", b"x" * 1000])
        assert raised.value.code == ErrorCode.MESSAGE_TOO_LARGE
        stream.append([b"and on"])  # nothing of the other append was written
        await stream.drain()
        assert (await place.values("small"))[-1] == b"and on"
        assert door.acks[-1] == 11

    run(body)


def test_records_keep_key_headers_and_time(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, _ = await place.open()
        stream.append_records(
            [Record(-1, 5000, b"k", b"v", (("ce_id", b"1"),)), Record(value=b"w")]
        )
        await stream.drain()
        first, second = await place.records()
        assert first == Record(0, 5000, b"k", b"v", (("ce_id", b"1"),))
        assert (second.value, second.timestamp_ms > 5000) == (b"w", True)

    run(body)


def test_a_stream_is_behind_until_half_of_it_is_durable(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.broker.streams.stream.STREAM_IN_FLIGHT_BYTES_MAX", 5000)

    async def body(place: Any) -> None:
        stream, door = await place.open()
        stream.append([b"x" * 1000])
        assert not stream.is_behind
        for _ in range(5):
            stream.append([b"x" * 1000])
        assert stream.is_behind
        await stream.drain()
        assert door.caught_up_times == 1
        assert not stream.is_behind

    run(body)


def test_streams_together_are_bounded(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.broker.streams.flow.IN_FLIGHT_BYTES_MAX", 5000)

    async def body(place: Any) -> None:
        (one, _), (other, waiting) = await place.open(), await place.open()
        one.append([b"x" * 6000])
        assert other.is_behind  # though it has sent nothing
        await one.drain()
        assert waiting.caught_up_times == 1
        assert place.streams.flow.in_flight_bytes == 0

    run(body)


def test_a_topic_is_created_on_demand_unless_that_is_off(run: Any) -> None:
    async def created(place: Any) -> None:
        stream, _ = await place.open("a.b.c")
        stream.append([b"x" * (10 << 20)])
        await stream.drain()

    async def refused(place: Any) -> list[ErrorCode]:
        codes = []
        for name in ("new", "__mine", "no/name"):
            with pytest.raises(RequestError) as raised:
                await place.open(name)
            codes.append(raised.value.code)
        return codes

    run(created)
    assert run(refused, auto_create_topics_enable="false") == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]


def test_one_stream_too_many_is_refused_and_its_place_comes_free(run: Any) -> None:
    async def body(place: Any) -> None:
        (one, _), _ = await place.open(), await place.open()
        with pytest.raises(RequestError) as raised:
            await place.open()
        assert raised.value.code == ErrorCode.POLICY_VIOLATION
        one.close()
        await place.open()
        opened = await asyncio.gather(place.open(), place.open(), return_exceptions=True)
        assert all(isinstance(each, RequestError) for each in opened)

    run(body, headrace_streams_max="2")


def test_a_deleted_topic_ends_its_streams(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.open()
        await place.broker.topics.delete("t")
        assert [error.code for error in door.failures] == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        with pytest.raises(RequestError):
            stream.append([b"x"])
        stream.close()
        assert not place.streams.by_id

    run(body)


def test_a_log_that_fails_ends_the_stream_and_acknowledges_nothing_more(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.open()
        stream.append([b"x"])
        stream.lane.partition.log.go_offline("a sync failed")
        (failure,) = door.failures
        assert failure.code == ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
        with pytest.raises(RequestError):
            await stream.drain()
        stream.close()
        assert (door.acks, place.streams.flow.in_flight_bytes) == ([], 0)

    run(body)


def test_what_was_refused_is_not_durable_when_what_came_before_it_is(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.open()
        outcomes: list[Any] = []
        held = SimpleNamespace(append=lambda _batch, _acks, done: outcomes.append(done))
        log, stream.lane.partition.log = stream.lane.partition.log, held
        stream.append([b"a", b"b"])
        stream.append([b"c"])
        outcomes[1](RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "another worker's"))
        outcomes[0](Appended(0, 1, 0, 0, False))
        assert stream.durable_messages == 2
        with pytest.raises(RequestError):
            await stream.drain()
        stream.lane.partition.log = log
        assert len(door.failures) == 1

    run(body)


def test_a_drained_stream_has_its_grace_and_is_then_ended(run: Any) -> None:
    async def body(place: Any) -> None:
        await place.broker.topics.create("t", 1, {"headrace.stream.close.grace.ms": "50"})
        stream, door = await place.open()
        assert await place.streams.drain(stream=stream.id) == 1
        assert door.graces == [50]
        stream.append([b"still"])
        async with asyncio.timeout(10):
            while not door.failures:
                await asyncio.sleep(0.01)
        assert door.failures[0].code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert await place.values() == [b"still"]

    run(body)


def test_a_closed_stream_tells_its_door_nothing_and_loses_nothing(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.open()
        stream.append([b"x"])
        stream.close()
        await stream.settled()
        assert (door.acks, door.failures) == ([], [])
        assert await place.values() == [b"x"]

    run(body)


def test_decisions_are_events_with_their_numbers(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, _ = await place.open()
        await place.streams._decisions.close()
        async with asyncio.timeout(10):
            while not (values := await place.values(decisions.DECISIONS_TOPIC)):
                await asyncio.sleep(0.01)
        event = json.loads(values[0])
        assert (event["action"], event["topic"], event["stream_id"]) == ("bind", "t", stream.id)
        assert {"partition", "expected_bytes_per_s", "active_partitions"} <= event.keys()

    run(body)


def test_the_bounds_are_what_the_contract_says() -> None:
    assert contract.STREAM_IN_FLIGHT_BYTES_MAX <= contract.IN_FLIGHT_BYTES_MAX
