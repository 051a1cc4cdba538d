"""What an acknowledgement means, and what happens when the disk says no."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from headrace.log import disk as log_disk
from headrace.log import flusher
from headrace.log.contract import ACKS_ALL, ACKS_LEADER, Appended
from headrace.log.marks import Mark, Marks
from headrace.testing.disk import FaultDisk, mounted
from headrace.wire.batch import peek
from headrace.wire.errors import ErrorCode, RequestError


class HeldSync:
    """Syncs wait until they are let go; counts them."""

    def __init__(self, monkeypatch):
        self.entered = 0
        self._real = log_disk.fdatasync
        self._gate = threading.Semaphore(0)
        self.synced_bytes: list[int] = []
        monkeypatch.setattr(log_disk, "fdatasync", self)

    def __call__(self, fd):
        self.entered += 1
        assert self._gate.acquire(timeout=30)
        self.synced_bytes.append(os.fstat(fd).st_size)
        self._real(fd)

    def let(self, count=1):
        self._gate.release(count)

    async def is_entered(self, count):
        async with asyncio.timeout(10):
            while self.entered < count:
                await asyncio.sleep(0.001)


def test_nothing_is_acknowledged_or_readable_before_the_sync(lab, monkeypatch):
    async def scenario(log):
        sync = HeldSync(monkeypatch)
        try:
            waiting = lab.put_soon(log, lab.batch())
            await sync.is_entered(1)
            assert not waiting.done()
            assert tuple(log.offsets()) == (0, 0, 0, 1)
            assert await lab.read_bytes(log, 0) == b""
            with pytest.raises(RequestError):
                await lab.read_bytes(log, 1)
        finally:
            sync.let(100)
        assert (await waiting).base_offset == 0
        assert log.offsets().high_watermark == 1

    lab.run(scenario)


def test_appends_during_a_sync_share_the_next(lab, monkeypatch):
    async def scenario(log):
        sync = HeldSync(monkeypatch)
        try:
            first = lab.put_soon(log, lab.batch())
            await sync.is_entered(1)
            others = [lab.put_soon(log, lab.batch()) for _ in range(200)]
            sync.let()
            await first
            assert not any(other.done() for other in others)
            await sync.is_entered(2)
            sync.let()
            await asyncio.gather(*others)
            assert sync.entered == 2
            assert log.offsets().high_watermark == 201
        finally:
            sync.let(100)

    lab.run(scenario)


def test_what_is_appended_in_one_go_shares_a_sync(lab, monkeypatch):
    async def scenario(log):
        sync = HeldSync(monkeypatch)
        sync.let(100)
        await asyncio.gather(*(lab.put_soon(log, lab.batch()) for _ in range(50)))
        assert sync.entered == 1

    lab.run(scenario)


def test_a_retry_waits_until_its_original_is_durable(lab, monkeypatch):
    async def scenario(log):
        sync = HeldSync(monkeypatch)
        try:
            original = lab.put_soon(log, lab.batch(producer=(1, 0, 0)))
            await sync.is_entered(1)
            retry = lab.put_soon(log, lab.batch(producer=(1, 0, 0)))
            hasty = lab.put_soon(log, lab.batch(producer=(1, 0, 0)), ACKS_LEADER)
            assert hasty.done()
            assert not retry.done()
        finally:
            sync.let(100)
        assert (await retry) == (await original)._replace(duplicate=True)
        assert (await lab.put(log, lab.batch(producer=(1, 0, 0)))).duplicate

    lab.run(scenario)


def test_acks_come_in_the_order_of_offsets(lab):
    async def scenario(log):
        acked = []
        for _ in range(300):
            log.append(memoryview(lab.batch()), ACKS_ALL, acked.append)
        await lab.put(log, lab.batch())
        assert [outcome.base_offset for outcome in acked] == list(range(300))

    lab.run(scenario, segment_bytes=2000)


def test_a_failed_sync_is_final(lab, disk, refused, caplog):
    async def scenario(log):
        await lab.put(log, lab.batch())
        disk.fail("fdatasync", times=1, error=errno.EIO)
        heard = []
        log.notify(lambda: heard.append(1))
        waiting = [lab.put_soon(log, lab.batch()) for _ in range(3)]
        outcomes = await asyncio.gather(*waiting)
        for outcome in outcomes:  # in doubt: they are written, and may be there after a start
            assert outcome.code is ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
            assert "sync failed" in outcome.message
        assert heard
        for call in (
            lambda: lab.put(log, lab.batch()),
            lambda: log.read(0, 100, at_least_one=True),
            lambda: log.delete_before(1),
            lambda: log.tidy(0),
        ):
            with refused(ErrorCode.KAFKA_STORAGE_ERROR) as refusal:
                await call()
            assert "Input/output error" in refusal.message
        assert sum("sync failed" in entry.getMessage() for entry in caplog.records) == 1

    lab.run(scenario)
    assert not (lab.path / "headrace.clean").exists()

    async def after(log):
        assert log.offsets().start == 0
        await lab.put(log, lab.batch())

    lab.run(after)


def test_after_a_failed_sync_no_later_one_says_how_far_the_disk_reaches(lab):
    """The next round may be done before the loop hears of the failed one. What is missing then is
    a torn tail for the next start, and no damage."""
    disk = FaultDisk()
    lab.path = Path("/data")

    def held_up(log):
        """Two rounds, of which the loop has heard of none."""
        for fails in (True, False):
            lab.put_soon(log, lab.batch())
            job = log._syncing.begin_sync()
            if fails:
                disk.fail(1, call="fdatasync")
            flusher._sync(log._syncing, job)

    async def scenario(log):
        await lab.put(log, lab.batch())
        held_up(log)

    with mounted(disk):
        lab.run(scenario)
        marks = Marks(str(lab.path))
        assert marks.of(lab.topic, 0).found == Mark(0, len(lab.batch()))
        marks.close()


def test_a_failed_sync_stops_only_its_partition(lab, monkeypatch):
    async def main():
        store = lab.store()
        logs = [await store.open_log(lab.topic, at, lab.config) for at in range(6)]
        await asyncio.gather(*(lab.put(log, lab.batch()) for log in logs))
        real = log_disk.fdatasync
        poisoned = logs[2].segments.active.file.fd

        def fdatasync(fd):
            if fd == poisoned:
                raise OSError(errno.EIO, "bad disk")
            real(fd)

        monkeypatch.setattr(log_disk, "fdatasync", fdatasync)
        monkeypatch.setattr(log_disk, "can_sync_volume", lambda: False)
        outcomes = await asyncio.gather(*(lab.put_soon(log, lab.batch()) for log in logs))
        assert [isinstance(outcome, Appended) for outcome in outcomes] == [
            at != 2 for at in range(6)
        ]
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("partial_bytes", [0, 1, 40, 100])
def test_a_full_disk_costs_nothing_but_the_batches_it_refused(
    any_lab, disk, refused, partial_bytes
):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch(b"x" * 100, producer=(1, 0, 0)))
        before = log.offsets(), log.producers(), any_lab.segment_paths()[0].read_bytes()
        disk.fail("pwrite").partial_bytes = partial_bytes
        for _ in range(3):
            with refused(ErrorCode.KAFKA_STORAGE_ERROR) as refusal:
                await any_lab.put(log, any_lab.batch(b"y" * 100, producer=(1, 0, 1)))
            assert "No space left" in refusal.message
        after = log.offsets(), log.producers(), any_lab.segment_paths()[0].read_bytes()
        assert after == before
        assert len(await any_lab.batches(log)) == 1
        disk.heal()
        appended = await any_lab.put(log, any_lab.batch(b"y" * 100, producer=(1, 0, 1)))
        assert appended == Appended(1, 1, -1, 0, False)

    any_lab.run(scenario)
    any_lab.run(any_lab.batches)


def test_no_batch_overtakes_one_of_its_producer_that_the_disk_refused(any_lab, disk, refused):
    async def scenario(log):
        disk.fail("pwrite", times=1, error=errno.ENOSPC)
        for sequence in (0, 1):
            with refused(ErrorCode.KAFKA_STORAGE_ERROR):
                await any_lab.put(log, any_lab.batch(producer=(3, 0, sequence)))
        for sequence in (0, 1):
            appended = await any_lab.put(log, any_lab.batch(producer=(3, 0, sequence)))
            assert appended.base_offset == sequence

    any_lab.run(scenario)


def test_a_write_that_is_taken_in_parts_is_completed(any_lab, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(log_disk, "pwrite", lambda fd, data, at: real(fd, data[:13], at))

    async def scenario(log):
        batch = any_lab.batch(b"x" * 200)
        assert (await any_lab.put(log, batch)).base_offset == 0
        assert await any_lab.batches(log) == [bytes(batch)]

    any_lab.run(scenario)


def test_a_torn_write_that_cannot_be_taken_back_is_overwritten_or_cut(any_lab, disk, tmp_path):
    async def scenario(log):
        await any_lab.put(log, any_lab.batch(b"first"))
        disk.fail("truncate", error=errno.EIO)
        disk.fail("pwrite", nth=1, times=1).partial_bytes = 150
        with pytest.raises(RequestError):
            await any_lab.put(log, any_lab.batch(b"x" * 200))
        images = [await any_lab.crash_image(log, tmp_path / "garbage")]
        await any_lab.put(log, any_lab.batch(b"second"))
        images.append(await any_lab.crash_image(log, tmp_path / "overwritten"))
        disk.heal()
        return images

    for count, image in enumerate(any_lab.run(scenario), start=1):
        assert len(image.run(image.batches)) == count


@pytest.mark.parametrize("call", ["pwrite", "fsync", "fdatasync", "fsync_directory", "truncate"])
def test_whichever_call_fails_nothing_acknowledged_is_lost(any_lab, disk, tmp_path, call):
    """The same history again and again, with the first, second, ... call failing."""
    for nth in range(1, 60):
        lab = type(any_lab)(tmp_path / str(nth), any_lab.durability)
        lab.config.segment_bytes = 500
        acked: dict[int, bytes] = {}
        was_met, image = asyncio.run(fail_nth(lab, disk, call, nth, acked))

        async def by_offset(log, batches=any_lab.batches):
            return {peek(batch).base_offset: batch for batch in await batches(log)}

        there = image.run(by_offset)
        start = min(there, default=12)
        assert {at: batch for at, batch in acked.items() if at >= start}.items() <= there.items()
        if not was_met:
            assert len(acked) == 12
            return
    pytest.fail("the history never ends")


async def fail_nth(lab, disk, call, nth, acked):
    fault = disk.fail(call, nth=nth, times=1, error=errno.EIO)
    try:
        try:
            store = lab.store()
        except OSError:  # a start that fails is tried again
            store = lab.store()
        log = await store.open_log(lab.topic, 0, lab.config)
        for at in range(12):
            batch = lab.batch(b"%d" % at * 30, producer=(1, 0, at))
            try:
                appended = await lab.put(log, batch)
            except RequestError:
                break
            acked[appended.base_offset] = bytes(batch)
            if at == 6:
                try:
                    await log.delete_before(3)
                except RequestError:
                    break
        image = await lab.crash_image(log, lab.path.with_suffix(".image"))
        await store.close()
        return fault.was_met, image
    finally:
        disk.heal()
