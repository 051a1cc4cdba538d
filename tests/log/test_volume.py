"""Many dirty logs are synced with their volume, if that is wise, and none is acked if it fails."""

import asyncio
import errno
import os
import sys

import pytest

from headrace.log import disk as log_disk
from headrace.log import volume
from headrace.log.contract import Appended
from headrace.log.volume import LOGS_MIN, Volume

LOGS = 2 * LOGS_MIN


class Syncs:
    """Which kind of sync was used; either can be told to fail."""

    def __init__(self, monkeypatch):
        self.files = self.volumes = 0
        self.fails: set[str] = set()
        self._fdatasync = log_disk.fdatasync
        monkeypatch.setattr(log_disk, "fdatasync", self.file)
        monkeypatch.setattr(log_disk, "sync_volume", self.volume)
        monkeypatch.setattr(log_disk, "can_sync_volume", lambda: True)
        monkeypatch.setattr(log_disk, "unwritten_bytes", lambda: 0)

    def file(self, fd):
        self.files += 1
        if any(name in os.readlink(f"/proc/self/fd/{fd}") for name in self.fails):
            raise OSError(errno.EIO, "bad disk")
        self._fdatasync(fd)

    def volume(self, fd):
        self.volumes += 1
        if self.fails:
            raise OSError(errno.EIO, "bad volume")


@pytest.fixture
def syncs(monkeypatch):
    return Syncs(monkeypatch)


async def one_round(lab, store, logs=None):
    """Batches to all logs: appended in one go, they share a round of the flusher."""
    logs = logs or [await store.open_log(lab.topic, at, lab.config) for at in range(LOGS)]
    waiting = [lab.put_soon(log, lab.batch()) for log in logs]
    return logs, await asyncio.gather(*waiting)


def stored(lab, scenario):
    async def main():
        store = lab.store()
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_volume_that_failed_once_is_not_synced_whole_again(tmp_path, monkeypatch):
    """The kernel tells of it once, and other logs may have lost bytes as well."""

    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(log_disk, "can_sync_volume", lambda: True)
    monkeypatch.setattr(log_disk, "unwritten_bytes", lambda: 0)
    whole = volume.Volume(str(tmp_path))
    assert whole.is_worth_syncing(volume.LOGS_MIN)
    monkeypatch.setattr(log_disk, "sync_volume", fail)
    with pytest.raises(OSError, match="Input/output"):
        whole.sync()
    monkeypatch.setattr(log_disk, "sync_volume", lambda fd: None)
    assert not whole.is_worth_syncing(volume.LOGS_MIN)
    whole.close()


@pytest.mark.skipif(sys.platform != "linux", reason="names of descriptors are Linux's")
def test_when_the_volume_fails_only_the_files_that_fail_are_lost(lab, syncs, caplog):
    async def scenario(store):
        logs, outcomes = await one_round(lab, store)
        assert all(isinstance(outcome, Appended) for outcome in outcomes)
        syncs.fails = {f"{lab.topic.hex}/2/", f"{lab.topic.hex}/5/"}
        _, outcomes = await one_round(lab, store, logs)
        lost = [at for at, outcome in enumerate(outcomes) if not isinstance(outcome, Appended)]
        assert lost == [2, 5]
        assert [log.failed for log in logs] == [at in (2, 5) for at in range(LOGS)]
        syncs.fails = set()

    stored(lab, scenario)
    assert "bad volume" in caplog.text


def test_many_dirty_logs_are_synced_with_their_volume(lab, syncs):
    async def scenario(store):
        before = syncs.files
        await one_round(lab, store)
        assert (syncs.volumes, syncs.files) == (1, before)

    stored(lab, scenario)


def test_a_volume_that_others_write_to_is_not_synced(tmp_path, syncs, monkeypatch):
    whole = Volume(str(tmp_path))
    assert whole.is_worth_syncing(LOGS_MIN)
    assert not whole.is_worth_syncing(LOGS_MIN - 1)
    monkeypatch.setattr(log_disk, "unwritten_bytes", lambda: volume.UNWRITTEN_BYTES_MAX + 1)
    assert not whole.is_worth_syncing(1000)
    whole.close()


def test_a_slow_sync_of_the_volume_is_not_repeated_for_a_while(tmp_path, syncs, monkeypatch):
    now_s = [100.0]

    class Clock:
        @staticmethod
        def monotonic():
            now_s[0] += 0.04
            return now_s[0]

    monkeypatch.setattr(volume, "time", Clock)
    whole = Volume(str(tmp_path))
    whole.sync()
    assert whole.is_worth_syncing(LOGS_MIN)
    monkeypatch.setattr(volume, "SLOW_S", 0.03)
    whole.sync()
    assert not whole.is_worth_syncing(LOGS_MIN)
    now_s[0] += volume.PAUSE_S
    assert whole.is_worth_syncing(LOGS_MIN)
    whole.close()


def test_the_real_call_works_where_it_is_offered(tmp_path):
    if log_disk.can_sync_volume():
        assert log_disk.unwritten_bytes() >= 0
        whole = Volume(str(tmp_path))
        whole.sync()
        whole.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            log_disk.sync_volume(999_999)
