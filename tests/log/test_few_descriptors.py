"""Without a file descriptor to spare, acknowledgements may wait; none is lost and nothing ends."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from headrace.log import disk, syncing
from headrace.log.contract import Appended
from headrace.wire.errors import ErrorCode, RequestError

LOGS = 6


def none_left(*_: Any) -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def put_to_all(lab: Any, break_it: Callable[[], None] = lambda: None) -> list[Any]:
    """The outcomes of one append to each of several logs, which share a round."""

    async def main() -> list[Any]:
        store = lab.store()
        try:
            logs = [await store.open_log(lab.topic, at, lab.config) for at in range(LOGS)]
            break_it()
            waiting = [lab.put_soon(log, lab.batch()) for log in logs]
            return list(await asyncio.wait_for(asyncio.gather(*waiting), 20))
        finally:
            await store.close()

    return asyncio.run(main())


def test_who_cannot_look_how_busy_the_disk_is_syncs_all_the_same(lab, monkeypatch):
    monkeypatch.setattr(disk, "can_sync_volume", lambda: True)
    monkeypatch.setattr(disk, "unwritten_bytes", none_left)
    assert all(isinstance(outcome, Appended) for outcome in put_to_all(lab))


def test_a_directory_that_cannot_be_opened_is_synced_later(lab, monkeypatch, caplog):
    monkeypatch.setattr(disk, "can_sync_volume", lambda: False)
    monkeypatch.setattr(syncing, "AGAIN_S", 0.02)
    real = disk.fsync_directory
    refused = 0

    def fsync_directory(path: str) -> None:
        nonlocal refused
        if refused < 3 * LOGS:
            refused += 1
            none_left()
        real(path)

    outcomes = put_to_all(
        lab, lambda: monkeypatch.setattr(disk, "fsync_directory", fsync_directory)
    )
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert refused == 3 * LOGS
    assert caplog.text.count("acknowledgements wait") == LOGS


def test_a_log_that_is_closed_meanwhile_is_synced_before_it_ends(lab, monkeypatch):
    monkeypatch.setattr(syncing, "AGAIN_S", 0.02)
    real = disk.fsync_directory
    refused = 0

    def fsync_directory(path: str) -> None:
        nonlocal refused
        refused += 1
        if refused <= 3:
            none_left()
        real(path)

    async def main() -> Any:
        store = lab.store()
        log = await store.open_log(lab.topic, 0, lab.config)
        monkeypatch.setattr(disk, "fsync_directory", fsync_directory)
        waiting = lab.put_soon(log, lab.batch())
        await asyncio.wait_for(store.close(), 5)
        return await waiting

    assert isinstance(asyncio.run(main()), Appended)


def test_a_mistake_in_a_round_is_told_to_all_who_wait(lab, monkeypatch, caplog):
    def mistake() -> bool:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(disk, "can_sync_volume", mistake)
    for outcome in put_to_all(lab):
        assert isinstance(outcome, RequestError)
        assert outcome.code is ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
    assert "ZeroDivisionError: of ours" in caplog.text


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_any_other_error_of_a_directory_is_final(lab, monkeypatch, code):
    def fails(_: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(disk, "can_sync_volume", lambda: False)
    outcomes = put_to_all(lab, lambda: monkeypatch.setattr(disk, "fsync_directory", fails))
    assert all(isinstance(outcome, RequestError) for outcome in outcomes)
