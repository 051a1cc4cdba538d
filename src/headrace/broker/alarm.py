"""One timer for many sleepers: each has at most one moment at which it wants to be called.

A heap holds the moments; one that was replaced by an earlier one stays in it as a stale entry until
its time comes or stale entries outnumber the others.

A timer that fires late means that the process did not run (it was stopped, swapped out, starved).
What others sent meanwhile, such as the heartbeats that would move the moments away, still waits in
the sockets; so it is read first. What must not enter: who the sleepers are.
"""

import asyncio
import heapq
import logging
from collections.abc import Callable
from typing import Final

__all__ = ["Alarm"]

CALLS_PER_TURN_MAX: Final = 256
"""Sleepers called before the event loop gets its turn."""

STALE_ENTRIES_MAX: Final = 1024
"""On top of as many as there are live ones; then the heap is built anew."""

LATE_MS_MIN: Final = 500
"""From here on a timer is late."""

CATCH_UP_S: Final = 0.5
"""What a late timer waits for the sockets to be read."""

log = logging.getLogger("headrace.broker")


class Alarm:
    """Uses the running loop's timer; time itself is `now_ms`, which must never go back."""

    def __init__(self, now_ms: Callable[[], int], call: Callable[[str], None]) -> None:
        """`call` may set moments, that of its own sleeper too. If it raises, that is logged."""
        self._now_ms = now_ms
        self._call = call
        self._moments: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._is_closed = False

    def set(self, sleeper: str, moment_ms: int | None) -> None:
        """Call `sleeper` by `moment_ms`: a later moment than the one set is not noted (a call too
        early does no harm). None: there is no need to call."""
        if moment_ms is None:
            self._moments.pop(sleeper, None)
            return
        known_ms = self._moments.get(sleeper)
        if known_ms is not None and known_ms <= moment_ms:
            return
        self._moments[sleeper] = moment_ms
        if len(self._heap) > 2 * len(self._moments) + STALE_ENTRIES_MAX:
            self._heap = [(moment, name) for name, moment in self._moments.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (moment_ms, sleeper))
        self._arm()

    def ring(self) -> None:
        """Call everyone whose moment has come: on time, or by hand with a clock of one's own."""
        self._disarm()
        now_ms = self._now_ms()
        calls = 0
        while self._heap and self._heap[0][0] <= now_ms and calls < CALLS_PER_TURN_MAX:
            moment_ms, sleeper = heapq.heappop(self._heap)
            if self._moments.get(sleeper) == moment_ms:
                del self._moments[sleeper]
                self._wake(sleeper)
                calls += 1
        self._arm()

    def _wake(self, sleeper: str) -> None:
        try:
            self._call(sleeper)
        except Exception:  # time must go on for the others
            log.exception("waking %r failed", sleeper)

    def _on_timer(self) -> None:
        if self._now_ms() - self._timer_ms >= LATE_MS_MIN:
            self._timer = asyncio.get_running_loop().call_later(CATCH_UP_S, self.ring)
        else:
            self.ring()

    def close(self) -> None:
        """Nobody is called any more. Idempotent."""
        self._is_closed = True
        self._disarm()

    def _arm(self) -> None:
        if self._is_closed or not self._heap:
            return
        first_ms = self._heap[0][0]
        if self._timer is not None:
            if self._timer_ms <= first_ms:
                return
            self._timer.cancel()
        delay_s = max(first_ms - self._now_ms(), 0) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)
        self._timer_ms = first_ms

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
