"""Rounds of group commit: who hears of them, and in which order."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headrace.log.flusher import Flusher, SyncJob
from headrace.log.pacing import Pacing


class Heard:
    """A log that writes down the ends of its rounds."""

    def __init__(self, fails_at: object = None) -> None:
        self.ends: list[object] = []
        self._fails_at = fails_at

    def begin_sync(self) -> SyncJob:
        return SyncJob((0, None, 0), [], ())  # type: ignore[arg-type]

    def mark_synced(self, job: SyncJob) -> None:
        pass

    def mark_failed(self, error: OSError) -> None:
        pass

    def end_sync(self, job: Any, error: OSError | None) -> None:
        self.ends.append(job)
        if job == self._fails_at:
            raise ValueError("a mistake")


class Breaks(Heard):
    """A log whose rounds break off where nobody expects it."""

    is_marked_failed = False

    def mark_synced(self, job: SyncJob) -> None:
        raise ValueError("nobody expects this")

    def mark_failed(self, error: OSError) -> None:
        self.is_marked_failed = True


def told_at_once(tmp_path: Path, rounds: list[list[tuple[Heard, object]]]) -> None:
    """Ends of rounds that come in one turn of the loop, as when it was held up."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        flusher = Flusher(loop, str(tmp_path))
        try:
            for ended in rounds:
                results: Any = [(log, job, None) for log, job in ended]
                loop.call_soon(flusher._tell, results, 0.0, 0.0)
            for _ in range(4):
                await asyncio.sleep(0)
        finally:
            await loop.run_in_executor(None, flusher.close)

    asyncio.run(body())


def test_a_log_hears_of_its_rounds_in_their_order_whatever_others_were_in_them(tmp_path) -> None:
    log, other = Heard(), Heard()
    told_at_once(tmp_path, [[(other, 1), (log, 1)], [(log, 2), (other, 2)], [(log, 3)]])
    assert log.ends == [1, 2, 3]
    assert other.ends == [1, 2]


def test_one_logs_mistake_is_logged_and_keeps_no_other_from_its_round(tmp_path, caplog) -> None:
    faulty, sound = Heard(fails_at=1), Heard()
    told_at_once(tmp_path, [[(faulty, 1), (sound, 1)]])
    assert sound.ends == [1]
    assert "a mistake" in caplog.text


@pytest.mark.parametrize("is_inline", [False, True])
def test_a_round_that_breaks_off_is_told_as_failed_whoever_did_it(
    is_inline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pacing, "is_inline", lambda _: is_inline)
    log = Breaks()
    errors: list[OSError | None] = []
    monkeypatch.setattr(log, "end_sync", lambda _, error: errors.append(error))

    async def body() -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        flusher = Flusher(loop, str(tmp_path), lambda _: over.set())
        try:
            flusher.put(log)
            await asyncio.wait_for(over.wait(), 10)
        finally:
            await loop.run_in_executor(None, flusher.close)

    asyncio.run(body())
    assert ["nobody expects this" in str(error) for error in errors] == [True]
    assert log.is_marked_failed  # no later round moves its durable mark
