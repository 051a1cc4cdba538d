"""Compaction interrupted: whatever is done when it dies, the next start has every key."""

import contextlib
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.log import upkeep
from headrace.log.contract import LogConfig
from headrace.log.segment import SegmentFacts
from headrace.log.swap import Journal, Swap, read_journal, write_journal
from headrace.wire.batch import peek
from headrace.wire.errors import RequestError
from headrace.wire.records import Record, build_batch, read_records

COMPACTOR = Path(__file__).with_name("compactor.py")
KEYS = 7
BATCHES = 80


@pytest.fixture
def lab(lab):
    lab.config = LogConfig(
        segment_bytes=3000,
        compact=True,
        delete=False,
        dirty_ratio_min=0.0,
        index_interval_bytes=200,
    )

    async def fill(log):
        for at in range(BATCHES):
            record = Record(timestamp_ms=1, key=b"%d" % (at % KEYS), value=b"%d" % at * 20)
            await lab.put(log, bytearray(build_batch([record])))

    lab.run(fill)
    return lab


async def check(lab, log):
    """Every key has its last value, no record was changed or moved."""
    found = [record for batch in await lab.batches(log) for record in read_records(batch)]
    for record in found:
        assert record.key == b"%d" % (record.offset % KEYS)
        assert record.value == b"%d" % record.offset * 20
    assert {record.offset for record in found} >= set(range(BATCHES - KEYS, BATCHES))
    assert log.offsets().end == BATCHES
    assert log.size_bytes() == sum(path.stat().st_size for path in lab.segment_paths())
    for offset in range(0, BATCHES, 3):  # through the index
        header = peek(await lab.read_bytes(log, BATCHES - 1 - offset, 1))
        assert header.base_offset <= BATCHES - 1 - offset < header.next_offset
    return len(found)


def test_a_process_killed_at_any_step_leaves_the_old_log_or_the_new_one(lab, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    command = [sys.executable, str(COMPACTOR), str(lab.path), str(images)]
    subprocess.run(command, check=True, timeout=50)
    counts = []

    async def after(log):
        counts.append(await check(lab, log))
        names = {path.suffix for path in lab.partition_path.iterdir()}
        assert not names & {".cleaned", ".tmp"}
        assert read_journal(str(lab.partition_path)).swap is None
        await log.clean(0, 1 << 20)
        assert await check(lab, log) < BATCHES / 2

    for call in range(1, 1 + len(list(images.iterdir()))):
        lab.path = images / str(call)
        lab.run(after)

    assert len(counts) > 30
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == BATCHES
    assert counts[-1] < BATCHES / 2


@pytest.mark.parametrize("name", ["pwrite", "fsync", "fdatasync", "rename", "unlink"])
@pytest.mark.parametrize("nth", [1, 2, 4, 7])
def test_a_disk_that_fails_costs_no_record(lab, disk, name, nth):
    async def scenario(log):
        disk.fail(name, nth=nth, times=1, error=errno.EIO)
        with contextlib.suppress(RequestError):
            await log.clean(0, 1 << 20)
        disk.heal()
        if not log.failed:
            await check(lab, log)
            await log.clean(0, 1 << 20)
            assert await check(lab, log) < BATCHES / 2

    lab.run(scenario)

    async def after(log):
        await check(lab, log)

    lab.run(after)


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_result_that_was_deleted_before_its_swap_was_closed_is_not_missed(
    lab, monkeypatch, is_durable
):
    """The disk was full when the swap was to be closed, so retention came first."""

    async def full(log):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario(log):
        monkeypatch.setattr(upkeep, "save", full)
        with pytest.raises(RequestError, match="No space"):
            await log.clean(0, 1 << 20)
        if is_durable:
            await log.delete_before(BATCHES)

    lab.run(scenario)
    first = lab.segment_paths()[0]
    assert (first.name == f"{0:020d}.log") != is_durable
    if not is_durable:  # as it is left where not even the new start could be written
        first.rename(first.with_suffix(".del"))
    assert read_journal(str(lab.partition_path)).swap is not None

    async def after(log):
        assert log.offsets().start > 0
        assert log.offsets().end == BATCHES

    lab.run(after)
    assert read_journal(str(lab.partition_path)).swap is None


def test_a_full_disk_puts_compaction_off(lab, disk):
    async def scenario(log):
        disk.fail("pwrite", error=errno.ENOSPC)
        for _ in range(2):
            with pytest.raises(RequestError, match="No space"):
                await log.clean(0, 1 << 20)
            assert log.cleaning(0).is_due
            assert await check(lab, log) == BATCHES
        disk.heal()
        await log.clean(0, 1 << 20)
        assert await check(lab, log) < BATCHES / 2

    lab.run(scenario)


def test_the_journal_is_read_back_as_written_and_damage_is_seen(tmp_path, caplog):
    directory = str(tmp_path)
    assert read_journal(directory) == Journal(-1)
    journal = Journal(70, Swap((0, 5, 9), SegmentFacts(0, 70, 1234, 99, 88)))
    for written in (journal, Journal(1 << 40)):
        write_journal(directory, written)
        assert read_journal(directory) == written
        data = (tmp_path / "cleaning").read_bytes()
        for at in range(len(data)):
            (tmp_path / "cleaning").write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            assert read_journal(directory) == Journal(-1)
    assert "never compacted" in caplog.text
