"""Reads that need the disk, readers that are many, and searches by time."""

import asyncio
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.log import disk as log_disk
from headrace.log import reader, resources
from headrace.log.contract import MAX_TIMESTAMP, Slice
from headrace.log.reading import warm
from headrace.wire.batch import crc_of, peek
from headrace.wire.errors import ErrorCode
from headrace.wire.records import Record, build_batch, read_records

LOOP_THREAD = threading.main_thread()


async def fill(lab, log, count, size=100):
    for at in range(count):
        await lab.put(log, lab.batch(b"%d" % at * size))


@pytest.fixture
def cold(monkeypatch):
    """Nothing is in the page cache; says which threads waited for the disk."""
    waited: list[threading.Thread] = []
    real = log_disk.pread

    def pread(fd, size_bytes, position):
        waited.append(threading.current_thread())
        return real(fd, size_bytes, position)

    def read_cached(fd, size_bytes, position):
        raise BlockingIOError

    monkeypatch.setattr(log_disk, "pread", pread)
    monkeypatch.setattr(log_disk, "read_cached", read_cached)
    monkeypatch.setattr(log_disk, "is_cached", lambda fd, position, size_bytes: False)
    return waited


def test_a_cold_read_waits_in_a_thread_and_says_that_it_is_cold(lab, cold):
    lab.run(lambda log: fill(lab, log, 40), segment_bytes=3000)

    async def scenario(log):
        cold.clear()  # a start reads the marks before there is anything else to do
        for offset in range(40):
            piece = await log.read(offset, 500, at_least_one=True)
            assert piece.cold
            piece.release()

    lab.run(scenario)
    assert cold
    assert LOOP_THREAD not in cold


def test_what_was_just_written_is_read_without_a_thread(lab, cold):
    async def scenario(log):
        await fill(lab, log, 40)
        piece = await log.read(0, 1 << 20, at_least_one=True)
        assert not piece.cold
        piece.release()
        last = peek(await lab.read_bytes(log, 0, 2000)).next_offset
        cold.clear()
        step = log.read(last, 300, at_least_one=True).send
        with pytest.raises(StopIteration) as stop:  # it never suspends
            step(None)
        stop.value.value.release()
        assert set(cold) <= {LOOP_THREAD}

    lab.run(scenario)


def test_a_reader_in_the_page_cache_never_leaves_the_loop(lab):
    lab.run(lambda log: fill(lab, log, 40))

    async def scenario(log):
        await lab.read_bytes(log, 0)  # opens the segment
        for offset in range(40):
            with pytest.raises(StopIteration) as stop:
                log.read(offset, 300, at_least_one=True).send(None)
            assert stop.value.value.cold is False
            stop.value.value.release()

    lab.run(scenario)


def test_a_file_system_that_cannot_say_counts_as_cold(lab, monkeypatch):
    lab.run(lambda log: fill(lab, log, 10))

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    async def scenario(log):
        monkeypatch.setattr(os, "preadv", unsupported)
        piece = await log.read(3, 100, at_least_one=True)
        monkeypatch.undo()
        assert piece.cold
        assert peek(os.pread(piece.file, piece.size_bytes, piece.position)).base_offset == 3
        piece.release()

    lab.run(scenario)


def test_an_index_that_is_let_go_while_its_file_is_opened_is_loaded_again(lab, monkeypatch):
    real, opened = reader.open_segment, []

    def open_segment(segment, interval_bytes, with_index):
        found = real(segment, interval_bytes, with_index)
        if not opened:
            segment.unload_index()
        opened.append(with_index)
        return found

    async def scenario(log):
        await fill(lab, log, 40)
        first = next(iter(log.segments))
        first.close_file()
        assert first.is_index_loaded
        monkeypatch.setattr(reader, "open_segment", open_segment)
        assert peek(await lab.read_bytes(log, 3)).base_offset == 3
        assert opened == [False, True]

    lab.run(scenario, segment_bytes=3000)


def test_warming_reads_the_whole_slice_in_a_thread(lab, monkeypatch):
    ranges = []
    real = log_disk.preadv

    def preadv(fd, buffers, position):
        assert threading.current_thread() is not LOOP_THREAD
        got = real(fd, buffers, position)
        ranges.append((position, position + got))
        return got

    async def scenario(log):
        await fill(lab, log, 30, size=100_000)
        piece = await log.read(1, 1 << 30, at_least_one=True)
        monkeypatch.setattr(log_disk, "preadv", preadv)
        await warm(piece)
        await warm(Slice(-1, 0, 0, True, lambda: None))
        piece.release()
        assert ranges[0][0] == piece.position
        assert ranges[-1][1] == piece.position + piece.size_bytes
        assert [start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]]
        assert max(end - start for start, end in ranges) <= 1 << 20

    lab.run(scenario)


def test_open_sealed_segments_are_bounded(lab, monkeypatch):
    monkeypatch.setattr(resources, "SEALED_OPEN_MAX", 3)
    lab.run(lambda log: fill(lab, log, 40), segment_bytes=600)
    assert len(lab.segment_paths()) > 12

    async def scenario(log):
        before = len(os.listdir("/dev/fd"))
        held = [await log.read(offset, 1, at_least_one=True) for offset in range(0, 40, 4)]
        for piece in held:
            data = os.pread(piece.file, piece.size_bytes, piece.position)
            assert len(lab.split(data)) == 1
            piece.release()
        for offset in range(40):
            assert peek(await lab.read_bytes(log, offset, 1)).base_offset == offset
        assert len(log.resources.sealed) == 3
        assert len(os.listdir("/dev/fd")) - before <= 4

    lab.run(scenario)


def test_indexes_in_memory_are_bounded(lab, monkeypatch):
    monkeypatch.setattr(resources, "SEALED_INDEX_BYTES_MAX", 100)
    lab.run(lambda log: fill(lab, log, 40), segment_bytes=600)

    async def scenario(log):
        for offset in (0, 39, 3, 17, 0, 39):
            assert peek(await lab.read_bytes(log, offset, 1)).base_offset == offset
        sealed = [segment for segment in log.segments if segment is not log.segments.active]
        assert sum(segment.index.size_bytes for segment in sealed) <= 100

    lab.run(scenario)


def test_readers_at_many_places_do_not_grow_the_memory(lab, monkeypatch):
    monkeypatch.setattr(reader, "HINTS_MAX", 4)

    async def scenario(log):
        await fill(lab, log, 40)
        for offset in (*range(40), *range(39, -1, -1)):
            assert peek(await lab.read_bytes(log, offset, 1)).base_offset == offset
            assert len(log._reader._hints) <= 4

    lab.run(scenario)


def test_many_readers_may_open_a_segment_at_the_same_time(lab):
    lab.run(lambda log: fill(lab, log, 20), segment_bytes=1500)

    async def scenario(log):
        before = len(os.listdir("/dev/fd"))
        found = await asyncio.gather(*(lab.read_bytes(log, 2, 1) for _ in range(30)))
        assert len(set(found)) == 1
        assert len(os.listdir("/dev/fd")) - before <= 1

    lab.run(scenario)


def test_a_read_that_loses_its_segment_while_it_opens_is_out_of_range(lab, refused):
    lab.run(lambda log: fill(lab, log, 20), segment_bytes=600)

    async def scenario(log):
        reading = asyncio.ensure_future(log.read(0, 100, at_least_one=True))
        await log.delete_before(18)
        with refused(ErrorCode.OFFSET_OUT_OF_RANGE):
            piece = await reading
            piece.release()  # it was quicker than the deletion
            await log.read(0, 100, at_least_one=True)

    lab.run(scenario)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=5), min_size=1, max_size=25),
    start=st.floats(0, 1),
    durability=st.sampled_from(["fsync", "os"]),
)
def test_times_are_found_as_a_walk_over_all_records_finds_them(
    lab, tmp_path_factory, batches, start, durability
):
    current = type(lab)(tmp_path_factory.mktemp("times") / "data", durability)
    current.config.segment_bytes = 700
    current.config.index_interval_bytes = 150

    async def scenario(log):
        for times in batches:
            records = [Record(timestamp_ms=time, value=b"x" * 20) for time in times]
            await lab.put(log, bytearray(build_batch(records)))
        await log.delete_before(int(log.offsets().end * start))
        await check(log)

    async def check(log):
        records = [
            record
            for batch in (await lab.batches(log) if log.size_bytes() else [])
            for record in read_records(batch)
            if record.offset >= log.offsets().start
        ]
        for time in range(-1, 32, 3):
            expected = next((r for r in records if r.timestamp_ms >= time), None)
            assert place(await log.offset_for_time(time)) == place_of(expected)
        youngest = max(records, key=lambda record: record.timestamp_ms, default=None)
        assert place(await log.offset_for_time(MAX_TIMESTAMP)) == place_of(youngest)

    def place(found):
        return found and (found.offset, found.timestamp_ms)

    def place_of(record):
        return record and (record.offset, record.timestamp_ms)

    current.run(scenario)
    current.run(check)


def test_records_that_are_not_durable_are_not_found_by_time(lab, monkeypatch):
    async def scenario(log):
        await lab.put(log, lab.batch(timestamp_ms=100))
        gate = threading.Event()
        real = log_disk.fdatasync

        def fdatasync(fd):
            assert gate.wait(30)
            real(fd)

        monkeypatch.setattr(log_disk, "fdatasync", fdatasync)
        waiting = lab.put_soon(log, lab.batch(timestamp_ms=200))
        try:
            assert await log.offset_for_time(150) is None
            assert (await log.offset_for_time(MAX_TIMESTAMP)).offset == 0
        finally:
            gate.set()
        await waiting
        assert (await log.offset_for_time(150)).offset == 1
        assert (await log.offset_for_time(MAX_TIMESTAMP)).offset == 1

    lab.run(scenario)


def test_a_batch_that_cannot_be_opened_is_found_by_its_header(lab):
    """Its records are between producer and consumer; the log does not need to understand them."""

    async def scenario(log):
        await lab.put(log, lab.batch(timestamp_ms=100))
        batch = lab.batch(b"not really compressed", timestamp_ms=200)
        batch[22] |= 1
        batch[17:21] = crc_of(batch).to_bytes(4, "big")
        await lab.put(log, batch)
        assert (await log.offset_for_time(150)).offset == 1
        assert (await log.offset_for_time(MAX_TIMESTAMP)).offset == 1

    lab.run(scenario)
