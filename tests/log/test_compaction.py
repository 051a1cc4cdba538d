"""Compaction: what stays, at which offsets, for readers, producers and the next start."""

import asyncio
import itertools
import os
import threading

import pytest

from headrace.log import keys
from headrace.log.cleaning import Pace, Rules, clean, fill_map
from headrace.log.contract import MAX_TIMESTAMP, LogConfig
from headrace.log.key_map import KeyMap
from headrace.log.segment import Segment
from headrace.wire.batch import ATTRIBUTE_CODEC_MASK, ATTRIBUTE_DELETE_HORIZON, peek
from headrace.wire.errors import ErrorCode, InvalidRecordsError
from headrace.wire.records import Record, build_batch, read_records

DAY_MS = 24 * 3600 * 1000
NOW_MS = 100 * DAY_MS
MAP_BYTES = 1 << 20
CODECS = range(5)


@pytest.fixture
def lab(lab):
    lab.config = LogConfig(
        segment_bytes=1 << 20,
        compact=True,
        delete=False,
        dirty_ratio_min=0.0,
        index_interval_bytes=200,
    )
    lab.clock = lambda: NOW_MS
    return lab


def keyed(*pairs, **more):
    """A batch of records (key, value[, timestamp])."""
    records = [
        Record(timestamp_ms=rest[0] if rest else NOW_MS, key=key, value=value)
        for key, value, *rest in pairs
    ]
    return bytearray(build_batch(records, **more))


async def put(lab, log, *batches):
    for batch in batches:
        await lab.put(log, batch)


async def seal(log):
    """Begin a new segment, and let a checkpoint list the old one."""
    log.roll()
    for _ in range(2):  # the second time it is idle, and gets its checkpoint
        await log.tidy(NOW_MS)
    assert log.is_saved()


async def compact(log, now_ms=NOW_MS, map_bytes=MAP_BYTES):
    """Passes until nothing is due."""
    await seal(log)
    for _ in range(20):
        if not log.cleaning(now_ms).is_due:
            return
        await log.clean(now_ms, map_bytes)
    raise AssertionError("compaction does not come to an end")


async def records(lab, log):
    batches = await lab.batches(log)
    for before, after in itertools.pairwise(batches):
        assert peek(after).base_offset == peek(before).next_offset
    return [record for batch in batches for record in read_records(batch)]


async def contents(lab, log):
    return [(record.offset, record.key, record.value) for record in await records(lab, log)]


@pytest.mark.parametrize("codec", CODECS)
def test_of_each_key_the_latest_record_stays_at_its_offset(lab, codec):
    async def scenario(log):
        for at in range(30):
            await lab.put(log, keyed((b"a", b"%d" % at), (b"b%d" % (at % 3), b"x"), codec=codec))
        await compact(log)
        kept = [(55, b"b0", b"x"), (57, b"b1", b"x"), (58, b"a", b"29"), (59, b"b2", b"x")]
        assert await contents(lab, log) == kept
        assert tuple(log.offsets()) == (0, 60, 60, 60)
        with_records = [peek(batch) for batch in await lab.batches(log) if peek(batch)[-1]]
        assert {header.attributes & ATTRIBUTE_CODEC_MASK for header in with_records} == {codec}
        return kept

    kept = lab.run(scenario)

    async def after(log):
        assert await contents(lab, log) == kept
        assert (await lab.put(log, keyed((b"c", b"")))).base_offset == 60

    lab.run(after)


def test_the_active_segment_stays_as_it_is(lab):
    async def scenario(log):
        await put(lab, log, keyed((b"a", b"1")), keyed((b"a", b"2")))
        assert not log.cleaning(NOW_MS).is_due
        assert (await log.clean(NOW_MS, MAP_BYTES)).read_bytes == 0
        await compact(log)
        await put(lab, log, keyed((b"a", b"3")))
        assert await contents(lab, log) == [(1, b"a", b"2"), (2, b"a", b"3")]
        await log.clean(NOW_MS, MAP_BYTES)
        assert len(await contents(lab, log)) == 2

    lab.run(scenario)


def test_a_tombstone_stays_until_its_time_has_passed(lab):
    async def scenario(log):
        await put(lab, log, keyed((b"a", b"1"), (b"b", b"1")), keyed((b"a", None, 5)))
        await compact(log)
        assert await contents(lab, log) == [(1, b"b", b"1"), (2, b"a", None)]
        [tombstone] = [record for record in await records(lab, log) if record.value is None]
        assert tombstone.timestamp_ms == 5
        header = peek((await lab.batches(log))[-1])
        assert header.attributes & ATTRIBUTE_DELETE_HORIZON
        assert header.base_timestamp == NOW_MS + DAY_MS
        await put(lab, log, keyed((b"c", b"")))
        await compact(log, NOW_MS + DAY_MS - 1)
        assert (2, b"a", None) in await contents(lab, log)
        await put(lab, log, keyed((b"c", b"")))
        await compact(log, NOW_MS + DAY_MS)
        assert await contents(lab, log) == [(1, b"b", b"1"), (4, b"c", b"")]

    lab.run(scenario)


def test_a_fetch_where_records_were_removed_goes_on_with_the_next(lab):
    async def scenario(log):
        for at in range(200):
            await lab.put(log, keyed((b"a" if at % 10 else b"k%d" % at, b"v" * 20)))
        await compact(log)
        kept = await records(lab, log)
        assert len(kept) == 21
        for offset in range(200):
            data = await lab.read_bytes(log, offset)
            assert peek(data).base_offset <= offset < peek(data).next_offset
            found = [r.offset for batch in lab.split(data) for r in read_records(batch)]
            later = [record.offset for record in kept if record.offset >= offset]
            assert [at for at in found if at >= offset] == later

    lab.run(scenario)


def test_a_reader_keeps_the_bytes_of_the_segment_that_it_was_given(lab):
    async def scenario(log):
        for at in range(50):
            await lab.put(log, keyed((b"a", b"%d" % at)))
        piece = await log.read(0, 1 << 20, at_least_one=True)
        before = os.pread(piece.file, piece.size_bytes, piece.position)
        await compact(log)
        assert len(await contents(lab, log)) == 1
        assert os.pread(piece.file, piece.size_bytes, piece.position) == before
        piece.release()

    lab.run(scenario)


def test_small_segments_become_one(lab):
    async def scenario(log):
        for at in range(100):
            await lab.put(log, keyed((b"k%d" % (at % 10), b"v" * 50)))
        before = len(lab.segment_paths())
        assert before > 10
        await compact(log)  # which makes them small
        await lab.put(log, keyed((b"k0", b"")))
        await compact(log)
        assert len(lab.segment_paths()) < before / 2
        assert log.size_bytes() == sum(path.stat().st_size for path in lab.segment_paths())
        assert len(await contents(lab, log)) == 10

    lab.run(scenario, segment_bytes=1100)


def test_what_producers_wrote_last_is_known_after_everything_else_is_lost(lab):
    async def scenario(log):
        for at in range(6):
            await put(
                lab,
                log,
                keyed(
                    (b"a", b"1"),
                    (b"b", b"2"),
                    producer_id=7,
                    producer_epoch=3,
                    base_sequence=2 * at,
                ),
            )
        await put(lab, log, keyed((b"a", b""), (b"b", b"")))
        await compact(log)
        assert await contents(lab, log) == [(12, b"a", b""), (13, b"b", b"")]

    lab.run(scenario)
    (lab.partition_path / "checkpoint").unlink()

    async def after(log):
        [producer] = log.producers()
        assert (producer.producer_epoch, producer.last_sequence) == (3, 11)
        again = keyed((b"a", b"1"), (b"b", b"2"), producer_id=7, producer_epoch=3, base_sequence=10)
        assert (await lab.put(log, again)).base_offset == 10

    lab.run(after)


def test_finding_by_time_passes_over_what_was_removed(lab):
    async def scenario(log):
        for at in range(20):
            await lab.put(log, keyed((b"a" if at != 7 else b"b", b"", NOW_MS + at)))
        await compact(log)
        assert (await log.offset_for_time(NOW_MS + 3))[:2] == (NOW_MS + 7, 7)
        assert (await log.offset_for_time(NOW_MS + 8))[:2] == (NOW_MS + 19, 19)
        assert (await log.offset_for_time(MAX_TIMESTAMP))[:2] == (NOW_MS + 19, 19)
        await log.delete_before(12)
        assert (await log.offset_for_time(0))[:2] == (NOW_MS + 19, 19)
        assert log.offsets().start == 12

    lab.run(scenario)


def test_a_small_map_takes_several_passes(lab):
    async def scenario(log):
        for at in range(300):
            await lab.put(log, keyed((b"k%d" % (at % 50), b"%d" % at)))
        await seal(log)
        passes = 0
        while log.cleaning(NOW_MS).is_due:
            await log.clean(NOW_MS, 24 * 16)
            passes += 1
        assert passes > 10
        expected = [(at, b"k%d" % (at % 50), b"%d" % at) for at in range(250, 300)]
        assert await contents(lab, log) == expected

    lab.run(scenario)


def test_a_batch_larger_than_the_map_is_named_and_nothing_is_removed(lab, refused):
    async def scenario(log):
        await put(lab, log, keyed(*[(b"k%d" % at, b"") for at in range(50)]), keyed((b"k1", b"")))
        await seal(log)
        with refused(ErrorCode.CORRUPT_MESSAGE):
            await log.clean(NOW_MS, 24 * 16)
        assert "log.cleaner.dedupe.buffer.size" in log.cleaning(NOW_MS).failure
        assert len(await contents(lab, log)) == 51

    lab.run(scenario)


def test_damage_ends_compaction_of_this_log_and_deletes_nothing(lab, refused, caplog):
    async def scenario(log):
        for at in range(20):
            await lab.put(log, keyed((b"a", b"%d" % at)))
        await seal(log)
        path = lab.segment_paths()[0]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        for _ in range(2):
            assert not log.cleaning(NOW_MS).failure or not log.cleaning(NOW_MS).is_due
            if log.cleaning(NOW_MS).failure is None:
                with refused(ErrorCode.CORRUPT_MESSAGE):
                    await log.clean(NOW_MS, MAP_BYTES)
        assert str(path) in log.cleaning(NOW_MS).failure
        assert (await log.clean(NOW_MS, MAP_BYTES)).read_bytes == 0
        assert path.read_bytes() == data
        assert not list(lab.partition_path.glob("*.cleaned"))

    lab.run(scenario)
    assert "is not compacted any more" in caplog.text


def test_more_records_than_are_looked_through_at_once_are_refused(lab, refused, monkeypatch):
    monkeypatch.setattr(keys, "RECORDS_MAX", 3)

    async def scenario(log):
        await put(lab, log, keyed(*((b"%d" % n, b"v") for n in range(3))))
        with refused(ErrorCode.INVALID_RECORD):
            await put(lab, log, keyed(*((b"%d" % n, b"v") for n in range(4))))

    lab.run(scenario, compact=True)


def test_records_without_a_key_are_refused_one_by_one(lab):
    async def scenario(log):
        with pytest.raises(InvalidRecordsError) as caught:
            log.append(
                memoryview(keyed((b"a", b""), (None, b""), (b"", b""), (None, b""))),
                -1,
                lambda _: None,
            )
        assert [place for place, _ in caught.value.records] == [1, 3]
        log.configure(LogConfig())
        await lab.put(log, keyed((None, b"")))

    lab.run(scenario)


def test_compaction_waits_for_the_ratio_the_youngest_and_the_longest_wait(lab):
    async def scenario(log):
        await put(lab, log, keyed((b"a", b"1" * 100, NOW_MS - 50)), keyed((b"a", b"2")))
        await compact(log)
        await put(lab, log, keyed((b"a", b"3", NOW_MS - 50)))
        await seal(log)
        log.config.dirty_ratio_min = 0.9
        assert not log.cleaning(NOW_MS).is_due
        log.config.compaction_lag_ms_max = 1000
        assert not log.cleaning(NOW_MS + 1000).is_due
        assert log.cleaning(NOW_MS + 1001).is_due
        log.config.compaction_lag_ms_min = 2000
        assert not log.cleaning(NOW_MS + 1001).is_due
        assert log.cleaning(NOW_MS + 1950).is_due
        assert 0 < log.cleaning(NOW_MS + 1950).dirty_ratio < 0.9

    lab.run(scenario)


def test_an_aged_active_segment_is_rolled_for_compaction(lab):
    async def scenario(log):
        await put(lab, log, keyed((b"a", b"1")))
        await log.tidy(NOW_MS + 999)
        assert len(lab.segment_paths()) == 1
        await log.tidy(NOW_MS + 1000)
        assert len(lab.segment_paths()) == 2
        await log.tidy(NOW_MS + 400 * DAY_MS)
        assert len(await contents(lab, log)) == 1

    lab.run(scenario, compaction_lag_ms_max=1000)


def test_aborted_transactions_neither_stay_nor_hide_what_is_older(tmp_path):
    def transactional(producer_id, **more):
        return {"transactional": True, "producer_id": producer_id, "producer_epoch": 0, **more}

    abort = ((b"\0\0\0\0", b"\0" * 6),)
    batches = [
        (((b"a", b"committed"),), {}),
        (((b"a", b"aborted"),), transactional(7, base_sequence=0)),
        (((b"b", b"other"),), transactional(8, base_sequence=0)),
        (((b"a", b"aborted too"),), transactional(7, base_sequence=1)),
        (abort, transactional(7, control=True)),
        (((b"c", b"next"),), transactional(7, base_sequence=2)),
    ]
    data = [
        keyed(*pairs, base_offset=at, leader_epoch=0, **more)
        for at, (pairs, more) in enumerate(batches)
    ]
    source = Segment(str(tmp_path), 0, 0)
    source.end_offset, source.size_bytes = len(data), sum(map(len, data))
    (tmp_path / source.path).write_bytes(b"".join(data))
    key_map, pace, aborted = KeyMap(MAP_BYTES, 10), Pace(threading.Event()), [(7, 1)]
    assert fill_map([source], 0, key_map, aborted, pace) == 6
    rules = Rules(NOW_MS, DAY_MS, 100, {7: 5, 8: 2})
    made = clean([source], str(tmp_path / "made"), key_map, 6, rules, aborted, pace)
    assert (made.base_offset, made.end_offset) == (0, 6)
    found = []
    left = (tmp_path / "made").read_bytes()
    while left:
        size = peek(left).size_bytes
        found += [(one.offset, one.value) for one in read_records(left[:size])]
        left = left[size:]
    marker = (4, abort[0][1])
    assert found == [(0, b"committed"), (2, b"other"), marker, (5, b"next")]
    # Without the first: the walk of a later range is not told of transactions that ended before.
    assert fill_map([source], 5, key_map, [], pace) == 6


def test_closing_does_not_wait_for_a_pass(lab, monkeypatch):
    async def scenario(log):
        for at in range(3000):
            lab.put_soon(log, keyed((b"k%d" % at, b"")))
        await log.durable()
        await seal(log)
        began = threading.Event()

        def slow(pace):
            began.set()
            pace._since = 0
            breathe(pace)
            threading.Event().wait(0.05)

        breathe = Pace.breathe
        monkeypatch.setattr(Pace, "breathe", slow)
        running = asyncio.create_task(log.clean(NOW_MS, MAP_BYTES))
        await asyncio.to_thread(began.wait)
        await log.close()
        assert (await running).read_bytes == 0
        assert not list(lab.partition_path.glob("*.cleaned"))

    lab.run(scenario)


def test_a_segment_of_which_all_stays_is_not_written_again(lab):
    async def scenario(log):
        for at in range(60):
            await lab.put(log, keyed((b"k%d" % (at % 40), b"v" * 50), (b"u%d" % at, b"")))
        await compact(log)
        before = {path.name: path.stat().st_ino for path in lab.segment_paths()}
        kept = await contents(lab, log)
        for _ in range(20):
            await lab.put(log, keyed((b"k39", b"")))
        await compact(log)
        after = {path.name: path.stat().st_ino for path in lab.segment_paths()}
        same = [name for name in before if after.get(name) == before[name]]
        assert len(before) - 3 <= len(same) < len(before)
        gone = {(58, b"k39"), (78, b"k39")}
        left = [one for one in kept if one[:2] not in gone]
        assert (await contents(lab, log))[: len(left)] == left
        assert lab.split(b"".join(await lab.batches(log)))

    lab.run(scenario, segment_bytes=1100)


def test_a_segment_that_ages_while_nothing_is_written_is_compacted(lab):
    async def scenario(log):
        for at in range(10):
            await lab.put(log, keyed((b"a", b"%d" % at)))
        for _ in range(2):
            await log.tidy(NOW_MS)
        assert log.is_saved()
        for _ in range(3):
            await log.tidy(NOW_MS + 1000)
        assert log.cleaning(NOW_MS + 1000).is_due
        await log.clean(NOW_MS + 1000, MAP_BYTES)
        assert await contents(lab, log) == [(9, b"a", b"9")]

    lab.run(scenario, segment_age_ms=1000)
