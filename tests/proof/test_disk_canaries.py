"""A log that is wrong on purpose is caught by lives on a disk in memory: see `proof.disk`."""

from contextlib import suppress

import pytest

from headrace.log import disk, flusher, local, upkeep
from headrace.log.syncing import Syncing
from proof.disk.judge import Broken
from proof.disk.sweeps import FAULTS, crash, fail_nth, length_of


def test_acknowledging_before_the_sync(monkeypatch):
    monkeypatch.setattr(flusher, "sync_job", lambda job: None)
    with pytest.raises(Broken, match="not on the disk"):
        length_of(1)


def test_not_syncing_names(monkeypatch):
    monkeypatch.setattr(disk, "fsync_directory", lambda path: None)
    with pytest.raises(Broken, match="not on the disk"):
        length_of(1)


def test_taking_a_failed_sync_for_a_good_one(monkeypatch):
    monkeypatch.setattr(Syncing, "_fail", lambda syncing, error: None)
    with pytest.raises(Broken):
        fail_every_third("sync")


def test_writing_a_part_of_a_batch(monkeypatch):
    def write_once(fd, batch, position):
        disk.pwrite(fd, batch, position)

    monkeypatch.setattr(local, "write_batch", write_once)
    with pytest.raises(Broken):
        fail_every_third("short")


def fail_every_third(name):
    for nth in range(2, 60, 3):
        fail_nth(1, nth, FAULTS[name])


def test_deleting_files_before_a_checkpoint_does_without_them(monkeypatch):
    save = upkeep._save

    async def delete_first(log, start_offset, dropped):
        with suppress(OSError):
            upkeep._delete_files(dropped)
        await save(log, start_offset, dropped)

    monkeypatch.setattr(upkeep, "_save", delete_first)
    with pytest.raises(Broken, match="power cut"):
        crash(21, part=0.03)
