"""Retention, checkpoints, and the disk that is full when it should be emptied."""

import asyncio
import errno
import os
import threading

import pytest

from headrace.log import disk as log_disk
from headrace.log import upkeep
from headrace.log.contract import LogConfig
from headrace.log.producers import EXPIRY_MS
from headrace.log.recovery import recover
from headrace.wire.batch import peek
from headrace.wire.errors import ErrorCode, RequestError

DAY_MS = 24 * 3600 * 1000
NOW_MS = 100 * DAY_MS


@pytest.fixture
def lab(lab):
    lab.clock = lambda: NOW_MS
    return lab


async def fill(lab, log, count=12, **more):
    for at in range(count):
        await lab.put(log, lab.batch(b"x" * 100, timestamp_ms=at * DAY_MS, **more))


def kept(lab) -> list[int]:
    return [int(path.stem) for path in lab.segment_paths()]


def test_aged_segments_are_deleted(lab):
    async def scenario(log):
        await fill(lab, log)
        assert await log.tidy(5 * DAY_MS) == 0
        heard = []
        log.notify(lambda: heard.append(log.start_offset))
        assert await log.tidy(12 * DAY_MS) == 2
        assert heard == [4]
        assert log.offsets().start == 4 == kept(lab)[0]
        assert peek((await lab.batches(log))[0]).base_offset == 4
        return sorted(os.listdir(lab.partition_path))

    names = lab.run(scenario, segment_bytes=350)
    assert not [name for name in names if name.endswith((".del", ".tmp"))]

    async def after(log):
        assert tuple(log.offsets()) == (4, 12, 12, 12)

    lab.run(after)


def test_a_log_is_kept_within_its_size(lab):
    async def scenario(log):
        await fill(lab, log, 30)
        log.configure(LogConfig(retention_bytes=1000, retention_ms=-1, segment_bytes=350))
        assert await log.tidy(0) > 0
        assert 1000 <= log.size_bytes() < 1000 + 350
        log.configure(LogConfig(retention_bytes=0, retain=True))
        assert await log.tidy(1 << 50) == 0

    lab.run(scenario, segment_bytes=350)


def test_an_old_active_segment_is_rolled_and_can_go(lab):
    async def scenario(log):
        await fill(lab, log, 3)
        assert await log.tidy(NOW_MS + 6 * DAY_MS) == 0
        assert kept(lab) == [0]
        assert await log.tidy(NOW_MS + 7 * DAY_MS) == 1
        assert kept(lab) == [3]
        assert tuple(log.offsets()) == (3, 3, 3, 3)
        assert (await lab.put(log, lab.batch())).base_offset == 3

    lab.run(scenario)


def test_old_records_written_today_stay_today(lab):
    async def scenario(log):
        await fill(lab, log, 3)
        assert await log.tidy(NOW_MS + DAY_MS) == 0
        assert len(await lab.batches(log)) == 3

    lab.run(scenario)


def test_idle_producers_are_forgotten(lab):
    async def scenario(log):
        await lab.put(log, lab.batch(producer=(1, 0, 0)))
        await log.tidy(NOW_MS + EXPIRY_MS - 1)
        assert len(log.producers()) == 1
        await log.tidy(NOW_MS + EXPIRY_MS)
        assert log.producers() == []

    lab.run(scenario)


def test_a_clock_that_was_wrong_makes_no_producer_forgotten_after_a_start(lab):
    now_ms = 1_800_000_000_000
    for years in (-10, 10):
        lab.clock = lambda wrong=now_ms + years * 365 * 86_400_000: wrong
        producer = 20 + years
        lab.run(lambda log, producer=producer: lab.put(log, lab.batch(producer=(producer, 0, 0))))
    lab.clock = lambda: now_ms

    async def retry(log):
        for producer in (10, 30):
            await log.tidy(now_ms + 1000)
            with pytest.raises(RequestError) as gap:
                await lab.put(log, lab.batch(producer=(producer, 0, 5)))
            assert gap.value.code is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        return len(log.producer_table)

    assert lab.run(retry) == 2


def test_an_idle_log_gets_its_checkpoint_and_gives_back_its_descriptor(any_lab, tmp_path):
    async def scenario(log):
        await fill(any_lab, log, 3)
        before = len(os.listdir("/dev/fd"))
        await log.tidy(NOW_MS)
        assert len(os.listdir("/dev/fd")) == before
        await log.tidy(NOW_MS)
        assert len(os.listdir("/dev/fd")) == before - 1
        image = await any_lab.crash_image(log, tmp_path / "image")
        assert len(await any_lab.batches(log)) == 3
        await any_lab.put(log, any_lab.batch())
        assert len(await any_lab.batches(log)) == 4
        return image

    any_lab.clock = lambda: NOW_MS
    image = any_lab.run(scenario, retain=True)
    recovered = recover(str(image.partition_path), index_interval_bytes=512, now_ms=0)
    assert recovered.scanned_bytes == 0
    assert recovered.segments[-1].end_offset == 3


def test_a_checkpoint_bounds_what_a_start_has_to_read(any_lab, tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "CHECKPOINT_BYTES", 10_000)

    async def scenario(log):
        await fill(any_lab, log, 200, producer=(-1, -1, -1))
        async with log.upkeep:
            pass
        await asyncio.sleep(0)
        return await any_lab.crash_image(log, tmp_path / "image")

    image = any_lab.run(scenario, segment_bytes=1 << 20 if any_lab.durability == "fsync" else 5000)
    recovered = recover(str(image.partition_path), index_interval_bytes=512, now_ms=0)
    assert recovered.segments[-1].end_offset == 200
    assert recovered.scanned_bytes <= 20_000


def test_retention_empties_a_full_disk(any_lab, disk, tmp_path):
    """No byte is left for the checkpoint that the deletion needs."""
    images = []

    async def scenario(log):
        await fill(any_lab, log, 12)
        async with log.upkeep:
            pass
        full = disk.fail("pwrite", error=errno.ENOSPC)
        real = upkeep._bury

        def bury(segments):
            real(segments)
            disk.heal()

        disk._patch.setattr(upkeep, "_bury", bury)
        assert await log.tidy(12 * DAY_MS) == 2
        assert full.calls > 0
        assert log.offsets().start == 4
        images.append(await any_lab.crash_image(log, tmp_path / "after"))
        await any_lab.put(log, any_lab.batch())

    any_lab.clock = lambda: NOW_MS
    any_lab.run(scenario, segment_bytes=350)

    async def after(log):
        assert tuple(log.offsets()) == (4, 12, 12, 12)
        assert len(await any_lab.batches(log)) == 8

    images[0].run(after)


def test_segments_emptied_on_a_full_disk_are_not_missed_after_a_crash(lab, disk, tmp_path):
    """The crash comes before the checkpoint without them could be written."""

    async def scenario(log):
        await fill(lab, log, 12)
        async with log.upkeep:
            pass
        disk.fail("pwrite", error=errno.ENOSPC)
        with pytest.raises(Exception, match="No space left"):
            await log.tidy(12 * DAY_MS)
        assert log.offsets().start == 4
        assert peek(await lab.read_bytes(log, 4)).base_offset == 4
        image = await lab.crash_image(log, tmp_path / "image")
        disk.heal()
        return image

    image = lab.run(scenario, segment_bytes=350)

    async def after(log):
        assert tuple(log.offsets()) == (4, 12, 12, 12)
        await lab.put(log, lab.batch())

    image.run(after)
    image.run(lambda log: log.delete_before(5))


@pytest.mark.parametrize("again", ["delete_before", "tidy", "start"])
def test_a_deletion_that_failed_halfway_is_completed_later(lab, disk, refused, again):
    """The disk is full and then refuses the second of three new names too."""

    async def scenario(log):
        await fill(lab, log, 12)
        async with log.upkeep:
            pass
        before = kept(lab)
        disk.fail("pwrite", error=errno.ENOSPC)
        disk.fail("rename", nth=2, error=errno.EIO)
        with refused(ErrorCode.KAFKA_STORAGE_ERROR):
            await log.delete_before(6)
        assert kept(lab) == before[1:]
        with refused(ErrorCode.KAFKA_STORAGE_ERROR):
            await log.delete_before(6)
        disk.heal()
        assert peek((await lab.batches(log))[0]).base_offset == log.offsets().start == 6
        if again == "delete_before":
            assert await log.delete_before(6) == 6
        elif again == "tidy":
            await log.tidy(0)
        if again != "start":
            assert kept(lab) == before[3:]
            assert not list(lab.partition_path.glob("*.del"))

    lab.run(scenario, segment_bytes=350, retain=True)

    async def after(log):
        assert tuple(log.offsets()) == (6, 12, 12, 12)
        assert kept(lab)[0] == 6
        await lab.put(log, lab.batch())

    lab.run(after)


def test_files_that_could_not_be_deleted_are_deleted_later(lab, disk):
    async def scenario(log):
        await fill(lab, log, 12)
        async with log.upkeep:
            pass
        disk.fail("unlink", error=errno.EPERM)
        assert await log.delete_before(6) == 6
        assert kept(lab)[0] == 0
        disk.heal()
        await log.tidy(0)
        assert kept(lab)[0] == 6

    lab.run(scenario, segment_bytes=350, retain=True)


def test_deleting_records_on_a_full_disk_is_refused_when_it_frees_nothing(lab, disk, refused):
    async def scenario(log):
        await fill(lab, log, 12)
        disk.fail("pwrite", error=errno.ENOSPC)
        with refused(ErrorCode.KAFKA_STORAGE_ERROR):
            await log.delete_before(5)
        assert log.offsets().start == 0
        disk.heal()
        assert await log.delete_before(5) == 5

    lab.run(scenario)


@pytest.mark.parametrize("call", ["tidy", "delete_before"])
def test_upkeep_goes_on_when_who_asked_for_it_has_gone(any_lab, monkeypatch, call):
    real_write = upkeep._write
    entered, gate = threading.Event(), threading.Event()
    writing = 0

    def write(directory, snapshot):
        nonlocal writing
        writing += 1
        assert writing == 1
        entered.set()
        assert gate.wait(30)
        real_write(directory, snapshot)
        writing -= 1

    async def scenario(log):
        await fill(any_lab, log, 12)
        async with log.upkeep:
            pass
        monkeypatch.setattr(upkeep, "_write", write)
        asked = asyncio.create_task(log.delete_before(6) if call != "tidy" else log.tidy(NOW_MS))
        await asyncio.to_thread(entered.wait, 30)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        closing = asyncio.create_task(log.close())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not closing.done()
        gate.set()
        await closing

    any_lab.clock = lambda: NOW_MS
    any_lab.run(scenario, segment_bytes=350)


def test_appends_and_reads_go_on_during_deletion(any_lab):
    async def scenario(log):
        await fill(any_lab, log, 40)

        async def write():
            for _ in range(100):
                await any_lab.put(log, any_lab.batch(b"y" * 50))

        async def read():
            while log.offsets().end < 140:
                start = log.offsets().start
                if start < log.offsets().high_watermark:
                    await any_lab.read_bytes(log, log.offsets().high_watermark - 1)
                await asyncio.sleep(0)

        async def delete():
            for offset in range(1, 140, 3):
                await log.delete_before(min(offset, log.offsets().high_watermark - 1))

        await asyncio.gather(write(), read(), delete())
        assert log.offsets().end == 140
        found = await any_lab.batches(log)
        assert peek(found[-1]).next_offset == 140

    any_lab.clock = lambda: NOW_MS
    any_lab.run(scenario, segment_bytes=350)


def test_every_byte_is_synced_also_of_segments_sealed_during_a_deletion(lab, monkeypatch):
    synced: dict[int, int] = {}
    real_sync, real_write = log_disk.fdatasync, upkeep._write
    entered, gate = threading.Event(), threading.Event()
    syncing, disk_is_quick = threading.Event(), threading.Event()
    disk_is_quick.set()

    def fdatasync(fd):
        syncing.set()
        assert disk_is_quick.wait(30)
        facts = os.fstat(fd)
        real_sync(fd)
        synced[facts.st_ino] = max(synced.get(facts.st_ino, 0), facts.st_size)

    def write(directory, snapshot):
        entered.set()
        assert gate.wait(30)
        real_write(directory, snapshot)

    monkeypatch.setattr(log_disk, "fdatasync", fdatasync)
    monkeypatch.setattr(log_disk, "can_sync_volume", lambda: False)

    async def scenario(log):
        await fill(lab, log, 12)
        async with log.upkeep:
            monkeypatch.setattr(upkeep, "_write", write)
        deleting = asyncio.ensure_future(log.delete_before(6))
        await asyncio.to_thread(entered.wait, 10)
        disk_is_quick.clear()
        syncing.clear()
        waiting = [lab.put_soon(log, lab.batch(b"y" * 100))]
        await asyncio.to_thread(syncing.wait, 10)
        waiting += [lab.put_soon(log, lab.batch(b"y" * 100)) for _ in range(6)]
        gate.set()
        assert await deleting == 6
        disk_is_quick.set()
        await asyncio.gather(*waiting)
        for path in lab.segment_paths():
            assert synced.get(path.stat().st_ino, 0) == path.stat().st_size, path

    lab.run(scenario, segment_bytes=350)
