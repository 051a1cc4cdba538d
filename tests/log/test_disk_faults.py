"""What was found with a disk that fails and forgets: one test each."""

import asyncio
import errno
import os
import threading
from random import Random

import pytest

from headrace.log import flusher, upkeep
from headrace.log.contract import CorruptLogError
from headrace.log.segment import SegmentFacts
from headrace.log.swap import Journal, Swap, replace_files, write_journal
from headrace.log.syncing import Syncing
from headrace.testing.disk import FaultDisk, Loss, mounted
from headrace.wire.batch import peek
from headrace.wire.errors import RequestError
from headrace.wire.records import Record, build_batch


@pytest.fixture
def fault_disk(lab):
    disk = FaultDisk(1)
    disk.make_directories(os.path.dirname(lab.path))
    for node in disk.nodes():
        node.sync()
    with mounted(disk):
        yield disk


def nothing_kept():
    loss = Loss(Random(0), garbles=False)
    loss.kept = 0.0
    return loss


async def fill(lab, log, count=10):
    for at in range(count):
        await lab.put(log, lab.batch(b"%d" % at * 100))


def test_a_power_cut_does_not_take_the_new_data_directory(lab, fault_disk):
    images = []

    async def scenario(log):
        await fill(lab, log)
        images.append(fault_disk.after_power_cut(nothing_kept()))

    lab.run(scenario)
    with mounted(images[0]):
        assert len(lab.run(lab.batches)) == 10


def test_a_segment_that_is_made_while_its_directory_is_synced_has_a_name_after_a_power_cut(
    lab, fault_disk, monkeypatch
):
    """The first round is over for the loop before the second one begins in the thread."""
    sync, begin = flusher.sync_job, Syncing.begin_sync
    is_synced, may_end, is_over = threading.Event(), threading.Event(), threading.Event()

    def sync_job(job):
        sync(job)
        is_synced.set()
        assert may_end.wait(10)

    def begin_sync(syncing):
        assert not is_synced.is_set() or is_over.wait(10)
        return begin(syncing)

    async def scenario(log):
        monkeypatch.setattr(flusher, "sync_job", sync_job)
        monkeypatch.setattr(Syncing, "begin_sync", begin_sync)
        first = lab.put_soon(log, lab.batch(b"x" * 300))
        assert await asyncio.to_thread(is_synced.wait, 10)
        second = lab.put_soon(log, lab.batch(b"y" * 300))
        may_end.set()
        await first
        is_over.set()
        await second
        return fault_disk.after_power_cut(nothing_kept())

    with mounted(lab.run(scenario, segment_bytes=400)):
        assert len(lab.run(lab.batches)) == 2


def test_a_close_that_fails_leaves_no_other_file_open(lab, fault_disk):
    async def scenario(log):
        await fill(lab, log)
        fault_disk.fail(1, errno.EIO, call="close", times=1 << 30)

    lab.run(scenario, segment_bytes=400)
    assert fault_disk.open_paths == []
    fault_disk.heal()
    assert len(lab.run(lab.batches)) == 10


@pytest.mark.parametrize("times", [1, 3])
def test_a_start_that_fails_leaves_no_file_open(lab, fault_disk, times):
    lab.run(lambda log: fill(lab, log))
    for nth in range(1, 100):
        rule = fault_disk.fail(nth, errno.EIO, times=times)
        try:
            lab.run(lab.batches)
        except (OSError, RequestError):
            assert fault_disk.open_paths == [], nth
        fault_disk.heal()
        if not rule.was_met:
            return
    pytest.fail("it never starts")


def test_a_read_that_the_system_cuts_short_is_no_damage(lab, fault_disk):
    async def scenario(log):
        await fill(lab, log, 40)
        fault_disk.cut_short(1, call=("pread", "preadv", "read_cached"), times=1 << 30)
        return await lab.batches(log)

    lab.run(lambda log: fill(lab, log, 1), segment_bytes=3000)
    assert len(lab.run(scenario)) == 41


def keyed(count):
    return [
        bytearray(build_batch([Record(timestamp_ms=1, key=b"k%d" % (at % 3), value=b"x" * 200)]))
        for at in range(count)
    ]


def test_a_swap_that_may_be_decided_is_left_to_the_next_start(lab, fault_disk, caplog):
    """The journal is written, and neither its directory synced nor itself read back."""

    async def compact(log):
        for batch in keyed(30):
            await lab.put(log, batch)
        async with log.upkeep:
            await upkeep.save(log)

        def when_decided(name, arguments):
            if name == "rename" and arguments[1].endswith("/cleaning"):
                fault_disk.fail(1, errno.EMFILE, call="open_file", times=2)

        fault_disk.watchers.append(when_decided)
        with pytest.raises(RequestError, match="Too many open files"):
            await log.clean(1 << 40, 1 << 16)
        assert log.failed

    lab.config.compact, lab.config.delete = True, False
    lab.config.dirty_ratio_min = 0.0
    lab.run(compact, segment_bytes=2000)
    assert "a compaction broke off" in caplog.text
    fault_disk.watchers.clear()
    fault_disk.heal()
    batches = lab.run(lab.batches)
    assert peek(batches[-1]).next_offset == 30


def test_a_swap_whose_result_is_nowhere_is_refused_and_removes_nothing(lab, fault_disk):
    async def scenario(log):
        await fill(lab, log, 12)

    lab.run(scenario, segment_bytes=600)
    directory = str(lab.partition_path)
    names = sorted(fault_disk.list_names(directory))
    bases = tuple(int(name[:20]) for name in names if name.endswith(".log"))
    swap = Swap(bases[:2], SegmentFacts(bases[0], bases[2], 7, 0, 0))
    with pytest.raises(CorruptLogError, match=r"\.cleaned is missing"):
        replace_files(directory, swap)
    write_journal(directory, Journal(-1, swap))
    with pytest.raises(CorruptLogError, match=r"\.cleaned is missing"):
        lab.run(scenario)
    assert sorted(fault_disk.list_names(directory)) == sorted([*names, "cleaning"])
