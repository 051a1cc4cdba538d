"""Persistent streams: exactly once, over connections, restarts and crashes."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.streams.recovery import recovered_position
from headrace.broker.streams.stream import OFFSET_HEADER
from headrace.wire.errors import ErrorCode, RequestError


def test_a_stream_is_resumed_where_it_was_after_a_restart(run: Any) -> None:
    async def first(place: Any) -> str:
        stream, _ = await place.create()
        stream.append([b"0", b"1a", b"1b", b"2"], [1, 2, 1])
        await stream.drain()
        return stream.id

    async def second(place: Any) -> None:
        stream, _ = await place.resume(stream_id)
        assert (stream.next_offset, stream.durable_messages) == (3, 3)
        stream.append([b"3"])
        await stream.drain()
        headers = [header for header, _ in await place.batches("t")]
        assert [(h.base_sequence, h.records_count) for h in headers] == [(0, 4), (4, 1)]
        assert len({header.producer_id for header in headers}) == 1

    stream_id = run(first)
    run(second)


def test_the_log_tells_where_a_stream_is_when_the_catalog_does_not(run: Any) -> None:
    async def body(place: Any) -> None:
        plain, _ = await place.create()
        grouped, _ = await place.create()
        plain.append([b"x"] * 7)
        grouped.append([b"x"] * 7, [3, 4])
        grouped.append([b"y"] * 3, [1, 2])
        await asyncio.gather(plain.drain(), grouped.drain())
        rows = place.broker.catalog.streams
        log = place.broker.topics.partition("t", 0).log
        found = [
            await recovered_position(log, await rows.get(each.id)) for each in (plain, grouped)
        ]
        assert found == [(7, 7), (4, 10)]
        headers = [dict(record.headers) for record in await place.records()]
        marks = [mark[OFFSET_HEADER] for mark in headers if mark]
        assert marks == [b"1", b"3"]  # a stream of single messages needs none

    run(body)


def test_a_start_writes_to_the_catalog_what_a_crash_left_behind(run: Any) -> None:
    async def first(place: Any) -> str:
        stream, _ = await place.create()
        stream.append([b"x"] * 5)
        await stream.drain()
        place.streams._persistent._save = _save_nothing
        return stream.id

    async def _save_nothing(streams: Any) -> None: ...

    async def second(place: Any) -> int:
        async with asyncio.timeout(10):
            while not (row := await place.broker.catalog.streams.get(stream_id)).next_offset:
                await asyncio.sleep(0.01)
        return row.next_offset

    stream_id = run(first)
    assert run(second) == 5


class Unsure:
    """A log of which nobody hears what became of the appends: they are written."""

    def __init__(self, log: Any) -> None:
        self.log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    def append(self, batch: memoryview, acks: int, done: Any) -> None:
        lost = RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "written or not")
        self.log.append(batch, acks, lambda _: done(lost))


def test_what_may_have_been_written_or_not_is_looked_up_in_the_log(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, _ = await place.create()
        partition = stream.lane.partition
        stream.append([b"0"])
        await stream.drain()
        log, partition.log = partition.log, Unsure(partition.log)
        stream.append([b"1"])
        await stream.settled()
        assert stream.refusal is not None
        partition.log = log
        stream.close()
        while place.streams._saving:
            await asyncio.sleep(0)
        resumed, _ = await place.resume(stream.id)
        assert resumed.next_offset == 2
        resumed.append([b"2"])
        await resumed.drain()
        assert await place.values() == [b"0", b"1", b"2"]

    run(body)


def test_who_resumes_a_stream_takes_it_over(run: Any) -> None:
    async def body(place: Any) -> None:
        old, old_door = await place.create()
        old.append([b"0", b"1"])  # not durable yet
        new, _ = await place.resume(old.id)
        assert old_door.failures[0].code == ErrorCode.PRODUCER_FENCED
        assert new.next_offset == 2
        with pytest.raises(RequestError):
            old.append([b"late"])
        old.close()
        new.append([b"2"])
        await new.drain()
        assert await place.values() == [b"0", b"1", b"2"]
        assert list(place.streams.by_id) == [new.id]

    run(body)


def test_many_resumes_at_once_leave_one_owner(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, _ = await place.create()
        stream.append([b"x"])
        opened = await asyncio.gather(*(place.resume(stream.id) for _ in range(5)))
        alive = [one for one, _ in opened if one.refusal is None]
        assert len(alive) == 1
        assert alive[0].next_offset == 1
        assert alive[0].lane.streams == {stream.id: alive[0]}

    run(body)


def test_retired_unknown_and_other_streams_are_refused(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, door = await place.create()
        with pytest.raises(RequestError) as other_type:
            await place.streams.resume(stream.id, door, record_type="PROTO")
        with pytest.raises(RequestError) as other_topic:
            await place.streams.retire(stream.id, "u")
        await place.streams.retire(stream.id, "t")
        assert door.failures[0].code == ErrorCode.PRODUCER_FENCED
        with pytest.raises(RequestError) as retired:
            await place.resume(stream.id)
        with pytest.raises(RequestError) as unknown:
            await place.resume("no such stream")
        with pytest.raises(RequestError) as empty:
            (await place.create())[0].append([b"x"], [1, 0])
        codes = [raised.value.code for raised in (other_type, other_topic, retired, unknown, empty)]
        assert codes == [
            ErrorCode.INVALID_REQUEST,
            ErrorCode.INVALID_REQUEST,
            ErrorCode.RESOURCE_NOT_FOUND,
            ErrorCode.RESOURCE_NOT_FOUND,
            ErrorCode.INVALID_RECORD,
        ]

    run(body)


def test_a_message_is_never_divided(run: Any) -> None:
    async def body(place: Any) -> None:
        await place.broker.topics.create("t", 1, {"max.message.bytes": "1000"})
        stream, _ = await place.create()
        stream.append([b"x" * 100] * 12, [4, 4, 4])
        await stream.drain()
        assert [header.records_count for header, _ in await place.batches("t")] == [4, 4, 4]
        with pytest.raises(RequestError) as raised:
            stream.append([b"x" * 100] * 12, [12])
        assert raised.value.code == ErrorCode.MESSAGE_TOO_LARGE

    run(body)


WRITER = """
import asyncio, sys
from headrace.broker.broker import Broker, BrokerOptions

class Door:
    def durable(self, messages): print(messages, flush=True)
    def caught_up(self): pass
    def close_asked(self, grace_ms): pass
    def failed(self, error): print(error, file=sys.stderr)

async def main():
    broker = await Broker.open(BrokerOptions(sys.argv[1]))
    stream = await broker.streams.create("t", Door(), record_type="JSON")
    print(stream.id, flush=True)
    while True:
        number = stream.next_offset
        first, second = b"%d" % number, b"%d" % (number + 1)
        stream.append([first + b".0", second + b".0", second + b".1"], [1, 2])
        await asyncio.sleep(0)

asyncio.run(main())
"""


def test_after_a_kill_every_acknowledged_message_is_there_once(tmp_path: Path, run: Any) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    stream_id = writer.stdout.readline().strip()
    acks = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    acks += [int(line) for line in writer.stdout if line.endswith("\n")]
    writer.wait()
    writer.stdout.close()

    async def body(place: Any) -> None:
        stream, _ = await place.resume(stream_id)
        committed = stream.next_offset
        assert committed >= acks[-1]
        stream.append([b"the next"])
        await stream.drain()
        expected = []
        for number in range(committed):
            expected += [b"%d.0" % number] + [b"%d.1" % number] * (number % 2)
        assert await place.values() == [*expected, b"the next"]

    run(body)


def test_who_gives_up_while_resuming_leaves_nothing_open(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, _ = await place.create()
        stream.append([b"x"])
        settled, stream.settled = stream.settled, asyncio.Event().wait  # not for a long time
        resuming = asyncio.create_task(place.resume(stream.id))
        while stream.refusal is None:
            await asyncio.sleep(0)
        resuming.cancel()
        await asyncio.gather(resuming, return_exceptions=True)
        stream.settled = settled
        stream.close()
        assert not place.streams.by_id
        again, _ = await place.resume(stream.id)
        assert again.next_offset == 1

    run(body)


def test_offsets_are_told_by_the_log_after_the_sequence_has_wrapped(run: Any) -> None:
    async def body(place: Any) -> None:
        stream, _ = await place.create()
        stream.next_sequence, stream.next_offset = 2**31 - 2, 2**31 - 2
        stream.append([b"a", b"b", b"c", b"d"])
        await stream.drain()
        row = await place.broker.catalog.streams.get(stream.id)
        log = place.broker.topics.partition("t", 0).log
        assert await recovered_position(log, row) == (2**31 + 2, 2)

    run(body)
