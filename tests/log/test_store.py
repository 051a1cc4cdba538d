import asyncio
import os
import time
from uuid import UUID

import pytest

from headrace.log.contract import CorruptLogError
from headrace.log.flusher import Flusher, SyncJob
from headrace.wire.errors import ErrorCode


def stored(lab, scenario):
    async def main():
        store = lab.store()
        try:
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(main())


def test_the_clean_marker_is_there_only_while_nobody_works(lab):
    marker = lab.path / "headrace.clean"

    async def scenario(store):
        assert not marker.exists()
        log = await store.open_log(lab.topic, 0, lab.config)
        await lab.put(log, lab.batch())
        return store.was_clean

    assert stored(lab, scenario) is False
    assert marker.exists()
    assert stored(lab, scenario) is True


def test_a_disk_too_full_for_the_process_id_is_no_reason_not_to_start(lab, disk, caplog):
    async def scenario(store):
        disk.heal()
        log = await store.open_log(lab.topic, 0, lab.config)
        await lab.put(log, lab.batch())

    lab.path.mkdir()
    disk.fail("pwrite")
    stored(lab, scenario)
    assert "headrace.lock: the process id was not written" in caplog.text


def test_a_directory_with_a_refused_log_is_not_called_clean(lab):
    async def fill(store):
        log = await store.open_log(lab.topic, 0, lab.config)
        await lab.put(log, lab.batch())

    stored(lab, fill)
    [path] = lab.segment_paths()
    path.write_bytes(b"")

    async def refuse(store):
        with pytest.raises(CorruptLogError, match=path.name):
            await store.open_log(lab.topic, 0, lab.config)

    stored(lab, refuse)
    assert not (lab.path / "headrace.clean").exists()


def test_a_thousand_logs_open_quickly_after_a_clean_end(lab):
    count = 1000
    lab.durability = "os"

    async def fill(store):
        logs = await asyncio.gather(
            *(store.open_log(lab.topic, at, lab.config) for at in range(count))
        )
        await asyncio.gather(*(lab.put(log, lab.batch(b"%d" % at)) for at, log in enumerate(logs)))

    async def reopen(store):
        assert store.was_clean
        before = time.process_time()
        logs = await asyncio.gather(
            *(store.open_log(lab.topic, at, lab.config) for at in range(count))
        )
        took_s = time.process_time() - before
        assert all(tuple(log.offsets()) == (0, 1, 1, 1) for log in logs)
        assert await lab.read_bytes(logs[7], 0) == bytes(lab.batch(b"7", leader_epoch=0))
        return took_s

    stored(lab, fill)
    descriptors = len(os.listdir("/dev/fd"))
    assert stored(lab, reopen) < 1.0
    assert len(os.listdir("/dev/fd")) <= descriptors


def test_a_clean_marker_is_not_believed_against_the_files(lab, tmp_path):
    """As after a restore that mixed two copies of a directory."""

    async def fill(store):
        log = await store.open_log(lab.topic, 0, lab.config)
        await lab.put(log, lab.batch())

    stored(lab, fill)
    [path] = lab.segment_paths()
    one = path.read_bytes()
    path.write_bytes(one + bytes(lab.batch(b"more", base_offset=1, leader_epoch=0)))

    async def check(store):
        assert store.was_clean
        log = await store.open_log(lab.topic, 0, lab.config)
        assert len(await lab.batches(log)) == 2

    stored(lab, check)


def test_a_deleted_topic_is_gone_with_its_files(any_lab, refused):
    other = UUID(int=8)

    async def scenario(store):
        logs = [await store.open_log(any_lab.topic, at, any_lab.config) for at in range(3)]
        kept = await store.open_log(other, 0, any_lab.config)
        for log in (*logs, kept):
            await any_lab.put(log, any_lab.batch())
        assert store.topic_ids() == {any_lab.topic, other}
        waiting = any_lab.put_soon(logs[0], any_lab.batch())
        await store.delete_topic(any_lab.topic)
        outcome = await waiting
        if any_lab.durability == "fsync":
            assert outcome.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        with refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION):
            await any_lab.put(logs[0], any_lab.batch())
        assert store.topic_ids() == {other}
        assert os.listdir(any_lab.path / "topics") == [other.hex]
        await store.delete_topic(any_lab.topic)
        fresh = await store.open_log(any_lab.topic, 0, any_lab.config)
        assert (await any_lab.put(fresh, any_lab.batch())).base_offset == 0

    stored(any_lab, scenario)
    assert (any_lab.path / "headrace.clean").exists()


def test_what_an_interrupted_deletion_left_is_removed_at_the_next_start(lab):
    left = lab.path / "topics" / (UUID(int=9).hex + ".deleted") / "0"
    left.mkdir(parents=True)
    (left / "00000000000000000000.log").write_bytes(b"x")

    async def scenario(store):
        assert store.topic_ids() == set()

    stored(lab, scenario)
    assert os.listdir(lab.path / "topics") == []


def test_free_bytes_are_those_of_the_volume(lab):
    async def scenario(store):
        return store.free_bytes()

    assert 0 < stored(lab, scenario) <= os.statvfs(lab.path).f_blocks * 4096


def test_a_store_can_be_closed_twice(lab):
    async def scenario(store):
        await store.open_log(lab.topic, 0, lab.config)
        await store.close()
        await store.close()

    stored(lab, scenario)


def test_a_round_syncs_every_dirty_log_once(tmp_path):
    """Many logs share the flusher's threads; each hears of its own outcome."""

    class Log:
        def __init__(self):
            self.begun = self.ended = 0

        def begin_sync(self):
            self.begun += 1
            return SyncJob((0, None, 0), (), ())

        def mark_synced(self, job):
            pass

        def end_sync(self, job, error):
            assert error is None
            self.ended += 1

    async def scenario():
        rounds = []
        flusher = Flusher(asyncio.get_running_loop(), str(tmp_path), rounds.append)
        logs = [Log() for _ in range(500)]
        for log in logs:
            flusher.put(log)
        async with asyncio.timeout(10):
            while not all(log.ended for log in logs):
                await asyncio.sleep(0.001)
        await asyncio.to_thread(flusher.close)
        assert {(log.begun, log.ended) for log in logs} == {(1, 1)}
        (round_,) = rounds
        assert 0 <= round_.sync_s <= round_.delay_s < 10
        assert round_.failed == 0

    asyncio.run(scenario())
