"""What time it is for deciding that something is too old: the wall clock, unless it jumps ahead.

A wall clock that is set a year ahead by mistake would have every log and every committed offset
deleted within the minute. So this one watches the wall clock against a steady one: after a jump of
more than JUMP_MS_MAX it goes on from where it was, says so, and follows only when the wall clock
has stayed ahead for CONFIRM_MS, in which somebody can set it right. Steps back and small steps are
followed at once: they delete nothing early. A machine that slept looks like one whose clock
jumped; its retention is an hour late. A clock that was wrong already at the start is not noticed.
What must not enter: what is deleted.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["CONFIRM_MS", "JUMP_MS_MAX", "RetentionClock"]

JUMP_MS_MAX: Final = 10 * 60 * 1000
"""How far the wall clock may get ahead of the steady one between two looks, a minute apart."""
CONFIRM_MS: Final = 60 * 60 * 1000
"""How long it must have stayed ahead before it is believed."""

log = logging.getLogger("headrace.broker")


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class RetentionClock:
    """Look at it at least every minute: jumps are noticed between two looks."""

    def __init__(
        self, wall_ms: Callable[[], int], steady_ms: Callable[[], int] = _steady_ms
    ) -> None:
        self._wall_ms = wall_ms
        self._steady_ms = steady_ms
        self._lead_ms = wall_ms() - steady_ms()
        """Of the wall clock over the steady one, when it was last believed."""
        self._jumped_at_ms: int | None = None

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as far as they are believed."""
        steady_ms = self._steady_ms()
        wall_ms = self._wall_ms()
        jump_ms = wall_ms - steady_ms - self._lead_ms
        if jump_ms > JUMP_MS_MAX and not self._is_confirmed(steady_ms, jump_ms):
            return steady_ms + self._lead_ms
        self._jumped_at_ms = None
        self._lead_ms = wall_ms - steady_ms
        return wall_ms

    def _is_confirmed(self, steady_ms: int, jump_ms: int) -> bool:
        if self._jumped_at_ms is None:
            self._jumped_at_ms = steady_ms
            log.warning(
                "the clock jumped ahead by %d s: retention goes on by the old time for %d s, "
                "then by the new one if it is still so",
                jump_ms // 1000,
                CONFIRM_MS // 1000,
            )
        return steady_ms - self._jumped_at_ms >= CONFIRM_MS
