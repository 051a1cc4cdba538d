"""What every implementation of `contract.PartitionLog` must keep, whatever it stands on.

`any_lab` gives the implementations: another store adds itself there.
"""

import asyncio
import os

import pytest

from headrace.log.contract import (
    ACKS_ALL,
    ACKS_LEADER,
    ACKS_NONE,
    MAX_TIMESTAMP,
    Appended,
    LogConfig,
    TimestampedOffset,
)
from headrace.wire.batch import crc_matches, peek
from headrace.wire.errors import ErrorCode
from headrace.wire.records import Record, build_batch, read_records


def test_an_empty_log_has_nothing_to_read(any_lab):
    async def scenario(log):
        assert tuple(log.offsets()) == (0, 0, 0, 0)
        assert await any_lab.read_bytes(log, 0) == b""
        assert log.readable_bytes_after(0) == 0
        assert await log.offset_for_time(0) is None
        assert await log.offset_for_time(MAX_TIMESTAMP) is None
        assert log.producers() == []

    any_lab.run(scenario)


def test_appended_batches_are_read_back_in_order(any_lab):
    async def scenario(log):
        sent = [any_lab.batch(*[b"%d" % at] * (1 + at % 3)) for at in range(50)]
        expected = 0
        for batch in sent:
            count = peek(batch).records_count
            appended = await any_lab.put(log, batch)
            assert appended == Appended(expected, expected + count - 1, -1, 0, False)
            expected += count
        assert tuple(log.offsets()) == (0, expected, expected, expected)
        assert await any_lab.batches(log) == [bytes(batch) for batch in sent]

    any_lab.run(scenario)


def test_offset_and_epoch_are_stamped_into_what_was_sent(any_lab):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch(b"1", b"2"))
        batch = any_lab.batch(b"3", leader_epoch=77)
        await any_lab.put(log, batch)
        header = peek(await any_lab.read_bytes(log, 2))
        assert (header.base_offset, header.leader_epoch) == (2, log.leader_epoch)
        assert peek(batch) == header
        assert crc_matches(batch, header)

    any_lab.run(scenario)


def test_a_read_inside_a_batch_gives_the_whole_batch(any_lab):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch(b"0", b"1", b"2"))
        await any_lab.put(log, any_lab.batch(b"3", b"4", b"5"))
        for offset in range(6):
            data = await any_lab.read_bytes(log, offset)
            assert peek(data).base_offset == offset // 3 * 3

    any_lab.run(scenario)


def test_a_read_holds_whole_batches_within_its_size(any_lab):
    async def scenario(log):
        for at in range(40):
            await any_lab.put(log, any_lab.batch(b"x" * (at * 7 % 90)))
        whole = await any_lab.read_bytes(log, 0)
        for size_bytes_max in range(0, len(whole) + 100, 37):
            for offset in (0, 1, 17, 39):
                piece = await log.read(offset, size_bytes_max, at_least_one=False)
                piece.release()
                assert piece.size_bytes <= size_bytes_max
                rest = await any_lab.read_bytes(log, offset)
                batches = any_lab.split(rest[: piece.size_bytes])
                following = any_lab.split(rest[piece.size_bytes :])
                if following:
                    assert piece.size_bytes + len(following[0]) > size_bytes_max
                assert b"".join(batches) == rest[: piece.size_bytes]

    any_lab.run(scenario)


def test_the_first_batch_comes_even_if_it_is_larger_when_asked_for(any_lab):
    async def scenario(log):
        sizes = [len(any_lab.batch(b"x" * 500)), len(any_lab.batch(b"y"))]
        await any_lab.put(log, any_lab.batch(b"x" * 500))
        await any_lab.put(log, any_lab.batch(b"y"))
        for size_bytes_max in (0, 1, sizes[0] - 1, sizes[0], sizes[0] + 1):
            piece = await log.read(0, size_bytes_max, at_least_one=True)
            piece.release()
            assert piece.size_bytes == sizes[0]
        assert len(await any_lab.read_bytes(log, 0, sum(sizes))) == sum(sizes)

    any_lab.run(scenario)


def test_a_read_outside_the_log_is_refused(any_lab, refused):
    async def scenario(log):
        for _ in range(5):
            await any_lab.put(log, any_lab.batch())
        await log.delete_before(2)
        for offset in (-5, -1, 0, 1, 6, 1 << 40):
            with refused(ErrorCode.OFFSET_OUT_OF_RANGE):
                await log.read(offset, 1000, at_least_one=True)
        assert await any_lab.read_bytes(log, 5) == b""

    any_lab.run(scenario)


def test_a_retried_batch_returns_its_first_offset(any_lab):
    async def scenario(log):
        first = await any_lab.put(log, any_lab.batch(b"a", b"b", producer=(9, 0, 0)))
        await any_lab.put(log, any_lab.batch(b"c", producer=(9, 0, 2)))
        again = await any_lab.put(log, any_lab.batch(b"a", b"b", producer=(9, 0, 0)))
        assert again == first._replace(duplicate=True)
        assert log.offsets().end == 3

    any_lab.run(scenario)


def test_a_sequence_gap_and_a_stale_epoch_are_refused(any_lab, refused):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch(producer=(9, 1, 0)))
        with refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER):
            log.append(memoryview(any_lab.batch(producer=(9, 1, 2))), ACKS_ALL, None)
        with refused(ErrorCode.INVALID_PRODUCER_EPOCH):
            log.append(memoryview(any_lab.batch(producer=(9, 0, 1))), ACKS_ALL, None)
        assert log.offsets().end == 1
        [producer] = log.producers()
        assert (producer.producer_id, producer.producer_epoch, producer.last_sequence) == (9, 1, 0)

    any_lab.run(scenario)


@pytest.mark.parametrize("at", [0, 8, 16, 17, 23, 30, 57, 61, 65])
def test_a_damaged_batch_is_refused_and_nothing_appended(any_lab, refused, at):
    async def scenario(log):
        batch = any_lab.batch(b"value")
        batch[at] ^= 0x10
        if at == 0:  # the base offset is the log's to write
            await any_lab.put(log, batch)
        else:
            code = ErrorCode.INVALID_RECORD if at == 16 else ErrorCode.CORRUPT_MESSAGE
            with refused(code):
                await any_lab.put(log, batch)
            assert log.offsets().end == 0

    any_lab.run(scenario)


def test_a_batch_larger_than_a_segment_is_refused(any_lab, refused):
    async def scenario(log):
        fits = any_lab.batch(b"x" * (1000 - len(any_lab.batch(b"x" * 900)) + 900))
        assert len(fits) == 1000
        await any_lab.put(log, fits)
        with refused(ErrorCode.RECORD_LIST_TOO_LARGE):
            await any_lab.put(log, any_lab.batch(b"x" * 1000))
        assert log.offsets().end == 1

    any_lab.run(scenario, segment_bytes=1000)


def test_acks_leader_is_answered_at_once_and_acks_none_never(any_lab):
    async def scenario(log):
        outcomes = []
        log.append(memoryview(any_lab.batch()), ACKS_LEADER, outcomes.append)
        assert [outcome.base_offset for outcome in outcomes] == [0]
        log.append(memoryview(any_lab.batch()), ACKS_NONE, None)
        await any_lab.put(log, any_lab.batch())
        assert log.offsets().high_watermark == 3

    any_lab.run(scenario)


def test_log_append_time_is_that_of_the_append(any_lab):
    async def scenario(log):
        any_lab.clock = None
        appended = await any_lab.put(log, any_lab.batch(b"a", b"b", producer=(1, 0, 0)))
        assert appended.log_append_time_ms == 5_000
        batch = await any_lab.read_bytes(log, 0)
        assert [record.timestamp_ms for record in read_records(batch)] == [5_000, 5_000]
        assert await log.offset_for_time(4_999) == TimestampedOffset(5_000, 0, 0)
        again = await any_lab.put(log, any_lab.batch(b"a", b"b", producer=(1, 0, 0)))
        assert again.duplicate
        assert again.log_append_time_ms == 5_000

    any_lab.clock = lambda: 5_000
    any_lab.run(scenario, append_time=True)


def test_watchers_hear_of_every_move_until_they_cancel(any_lab):
    async def scenario(log):
        heard = []
        cancel = log.notify(lambda: heard.append(log.offsets()))
        await any_lab.put(log, any_lab.batch())
        assert heard[-1].high_watermark == 1
        await log.delete_before(1)
        assert heard[-1].start == 1
        cancel()
        cancel()
        count = len(heard)
        await any_lab.put(log, any_lab.batch())
        assert len(heard) == count
        log.notify(lambda: heard.append("closed"))
        await log.close()
        assert heard[-1] == "closed"

    any_lab.run(scenario)


def test_readable_bytes_are_exact_at_the_tail(any_lab):
    async def scenario(log):
        for _ in range(30):
            await any_lab.put(log, any_lab.batch(b"x" * 50))
        size = len(any_lab.batch(b"x" * 50))
        assert log.readable_bytes_after(30) == 0
        await any_lab.put(log, any_lab.batch(b"x" * 50))
        await any_lab.put(log, any_lab.batch(b"x" * 50))
        assert log.readable_bytes_after(30) == 2 * size
        assert log.readable_bytes_after(0) == 32 * size == log.size_bytes()
        for offset in range(32):
            assert 0 < log.readable_bytes_after(offset) <= (32 - offset) * size + 512
        assert log.readable_bytes_after(1 << 40) == 0

    any_lab.run(scenario)


def test_deleting_moves_the_start_durably(any_lab, refused):
    async def scenario(log):
        for _ in range(20):
            await any_lab.put(log, any_lab.batch(b"x" * 100))
        assert await log.delete_before(0) == 0
        assert await log.delete_before(7) == 7
        assert await log.delete_before(3) == 7
        for offset in (21, -2):
            with refused(ErrorCode.OFFSET_OUT_OF_RANGE):
                await log.delete_before(offset)
        assert log.offsets().start == 7
        assert peek((await any_lab.batches(log))[0]).base_offset == 7
        appended = await any_lab.put(log, any_lab.batch())
        assert appended.log_start_offset == 7

    async def after(log):
        assert log.offsets().start == 7
        assert await log.delete_before(-1) == 21

    async def emptied(log):
        assert tuple(log.offsets()) == (21, 21, 21, 21)
        assert log.size_bytes() == 0
        assert (await any_lab.put(log, any_lab.batch())).base_offset == 21

    any_lab.run(scenario, segment_bytes=700)
    any_lab.run(after)
    any_lab.run(emptied)


def test_everything_is_as_it_was_after_a_restart(any_lab):
    async def scenario(log):
        for at in range(30):
            await any_lab.put(log, any_lab.batch(b"%d" % at, producer=(4, 2, at)))
        return await any_lab.batches(log), log.offsets(), log.producers(), log.size_bytes()

    async def after(log):
        assert (await any_lab.put(log, any_lab.batch(b"29", producer=(4, 2, 29)))).duplicate
        return await any_lab.batches(log), log.offsets(), log.producers(), log.size_bytes()

    assert any_lab.run(scenario, segment_bytes=700) == any_lab.run(after)


def test_a_configuration_counts_from_the_next_append_on(any_lab, refused):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch(b"x" * 2000))
        log.configure(LogConfig(segment_bytes=1000, append_time=True))
        with refused(ErrorCode.RECORD_LIST_TOO_LARGE):
            await any_lab.put(log, any_lab.batch(b"x" * 2000))
        assert (await any_lab.put(log, any_lab.batch())).log_append_time_ms > 0

    any_lab.run(scenario)


def test_a_closed_log_refuses_every_call(any_lab, refused):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch())
        await log.close()
        await log.close()
        calls = [
            lambda: log.read(0, 100, at_least_one=True),
            lambda: log.offset_for_time(0),
            lambda: log.delete_before(1),
            lambda: log.tidy(0),
            lambda: log.clean(0, 1 << 20),
            lambda: any_lab.put(log, any_lab.batch()),
        ]
        for call in calls:
            with refused(ErrorCode.KAFKA_STORAGE_ERROR):
                await call()
        with refused(ErrorCode.KAFKA_STORAGE_ERROR):
            log.offsets()
        with refused(ErrorCode.KAFKA_STORAGE_ERROR):
            log.cleaning(0)

    any_lab.run(scenario)


def test_closing_answers_what_was_appended(any_lab):
    async def scenario(log):
        waiting = [any_lab.put_soon(log, any_lab.batch()) for _ in range(10)]
        await log.close()
        outcomes = await asyncio.gather(*waiting)
        assert [outcome.base_offset for outcome in outcomes] == list(range(10))

    any_lab.run(scenario)


def test_compaction_keeps_the_latest_of_each_key_where_it_was(any_lab):
    def keyed(number: int) -> bytearray:
        record = Record(timestamp_ms=1, key=b"%d" % (number % 3), value=b"x" * 100)
        return bytearray(build_batch([record]))

    async def scenario(log):
        assert log.cleaning(0) is None
        log.configure(LogConfig(segment_bytes=500, compact=True, delete=False, dirty_ratio_min=0))
        for number in range(30):
            await any_lab.put(log, keyed(number))
        for _ in range(2):
            await log.tidy(0)
        assert log.cleaning(0).is_due
        done = await log.clean(0, 1 << 20)
        assert 0 < done.freed_bytes < done.read_bytes
        assert not log.cleaning(0).is_due
        assert log.offsets().end == 30
        batches = await any_lab.batches(log)
        found = [record.offset for batch in batches for record in read_records(batch)]
        assert set(range(27, 30)) <= set(found)
        assert len(found) < 10

    any_lab.run(scenario)


def test_a_slice_stays_readable_after_its_segment_is_deleted(any_lab):
    async def scenario(log):
        sent = [any_lab.batch(b"%d" % at * 200) for at in range(10)]
        for batch in sent:
            await any_lab.put(log, batch)
        piece = await log.read(0, 1 << 20, at_least_one=True)
        await log.delete_before(-1)
        data = os.pread(piece.file, piece.size_bytes, piece.position)
        assert data == b"".join(bytes(batch) for batch in sent)[: len(data)]
        assert len(data) == piece.size_bytes > 0
        piece.release()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(piece.file)

    any_lab.run(scenario, segment_bytes=900)


def test_batches_from_the_future_or_too_far_in_the_past_are_refused(any_lab, refused):
    clock_ms = 10_000_000

    async def scenario(log):
        for timestamp_ms in (clock_ms + 2_001, 1 << 62):
            with refused(ErrorCode.INVALID_TIMESTAMP) as refusal:
                await any_lab.put(log, any_lab.batch(timestamp_ms=timestamp_ms))
            assert "message.timestamp.after.max.ms" in refusal.message
        for timestamp_ms in (clock_ms - 5_001, -2):
            with refused(ErrorCode.INVALID_TIMESTAMP) as refusal:
                await any_lab.put(log, any_lab.batch(timestamp_ms=timestamp_ms))
            assert "message.timestamp.before.max.ms" in refusal.message
        for timestamp_ms in (clock_ms + 2_000, clock_ms - 5_000, -1):
            await any_lab.put(log, any_lab.batch(timestamp_ms=timestamp_ms))
        assert log.offsets().end == 3

    any_lab.clock = lambda: clock_ms
    any_lab.run(scenario, timestamp_before_max_ms=5_000, timestamp_after_max_ms=2_000)


def test_an_append_time_log_takes_any_timestamp_of_a_producer(any_lab):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch(timestamp_ms=1 << 62))
        await any_lab.put(log, any_lab.batch(timestamp_ms=-7))

    any_lab.run(scenario, append_time=True, timestamp_before_max_ms=0, timestamp_after_max_ms=0)


def test_a_retry_gets_its_first_answer_however_late_it_comes(any_lab):
    clock_ms = 10_000

    async def scenario(log):
        nonlocal clock_ms
        first = await any_lab.put(log, any_lab.batch(timestamp_ms=10_000, producer=(1, 0, 0)))
        clock_ms += 5_000
        again = await any_lab.put(log, any_lab.batch(timestamp_ms=10_000, producer=(1, 0, 0)))
        assert (again.base_offset, again.duplicate) == (first.base_offset, True)

    any_lab.clock = lambda: clock_ms
    any_lab.run(scenario, timestamp_before_max_ms=1_000)
