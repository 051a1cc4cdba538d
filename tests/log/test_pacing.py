"""Who syncs, the loop or the thread: `Pacing`, and a flusher that goes by it."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.log.flusher import Flusher, SyncJob
from headrace.log.pacing import ALONE_ROUNDS_MIN, PROBE_ROUNDS, SHORT_S_MAX, Pacing

SHORT_S = SHORT_S_MAX / 4


def alone(rounds: int, took_s: float = SHORT_S) -> Pacing:
    pacing = Pacing()
    for _ in range(rounds):
        pacing.round_over(took_s, was_alone=True)
    return pacing


def test_the_loop_syncs_only_after_a_row_of_short_rounds_in_which_nothing_arrived() -> None:
    assert not alone(ALONE_ROUNDS_MIN - 1).is_inline()
    assert alone(ALONE_ROUNDS_MIN).is_inline()
    assert not alone(ALONE_ROUNDS_MIN, took_s=4 * SHORT_S_MAX).is_inline()


def test_one_arrival_during_a_round_gives_the_rounds_back_to_the_thread() -> None:
    pacing = alone(10 * ALONE_ROUNDS_MIN)
    pacing.round_over(SHORT_S, was_alone=False)
    assert not pacing.is_inline()


def test_the_thread_gets_one_round_in_so_many_to_see_whether_anybody_has_come() -> None:
    pacing = alone(ALONE_ROUNDS_MIN)
    chosen = [pacing.is_inline() for _ in range(3 * PROBE_ROUNDS)]
    assert chosen.count(False) == 3


def test_a_disk_that_becomes_slow_is_left_to_the_thread_at_once_and_trusted_again_slowly() -> None:
    pacing = alone(ALONE_ROUNDS_MIN)
    pacing.round_over(10 * SHORT_S_MAX, was_alone=None)
    assert not pacing.is_inline()
    pacing.round_over(SHORT_S, was_alone=True)
    assert not pacing.is_inline()
    for _ in range(100):
        pacing.round_over(SHORT_S, was_alone=True)
    assert any(pacing.is_inline() for _ in range(2))


class Watched:
    """A log that writes down which thread syncs it, and is told of each round."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.over = asyncio.Event()

    def begin_sync(self) -> SyncJob:
        self.threads.append(threading.get_ident())
        return SyncJob((0, None, 0), [], ())  # type: ignore[arg-type]

    def mark_synced(self, job: SyncJob) -> None:
        pass

    def end_sync(self, job: Any, error: OSError | None) -> None:
        self.over.set()


def test_one_who_waits_alone_is_synced_by_the_loop_and_two_share_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = SimpleNamespace(perf_counter=lambda: 0.0)  # a busy machine must not look like a disk
    monkeypatch.setattr("headrace.log.flusher.time", stopped)

    async def body() -> tuple[list[int], list[int]]:
        loop = asyncio.get_running_loop()
        flusher = Flusher(loop, str(tmp_path))
        one, two = Watched(), Watched()

        async def rounds(count: int, *logs: Watched) -> None:
            for _ in range(count):
                for log in logs:
                    log.over.clear()
                    flusher.put(log)
                for log in logs:
                    await log.over.wait()

        try:
            await rounds(ALONE_ROUNDS_MIN + PROBE_ROUNDS, one)
            await rounds(3, one, two)
        finally:
            await loop.run_in_executor(None, flusher.close)
        return one.threads, two.threads

    loop_thread = threading.get_ident()
    one, two = asyncio.run(body())
    single = one[:-3]
    assert loop_thread not in single[:ALONE_ROUNDS_MIN]
    assert single[ALONE_ROUNDS_MIN:].count(loop_thread) == PROBE_ROUNDS - 1
    assert loop_thread not in (*one[-3:], *two)
