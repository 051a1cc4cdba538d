"""Whether a round of group commit is worth a thread.

A sync that runs in the flusher's thread lets the loop go on, and what arrives meanwhile shares the
next round; that is where throughput comes from. Who waits alone pays for it with two wake-ups of a
thread, which cost as much as the sync itself on a quick disk. So when nothing came during the last
rounds and they were short, the loop syncs by itself. Every PROBE_ROUNDS rounds the thread gets one
all the same: only there can be seen whether somebody else has come, such as a producer that keeps
several requests under way.

Pure: no clock, no disk.
"""

from typing import Final

__all__ = ["Pacing"]

ALONE_ROUNDS_MIN: Final = 16
"""Rounds in the thread, one after the other, during which nothing arrived."""
PROBE_ROUNDS: Final = 16
"""Of these rounds one is the thread's, though all of them could be the loop's."""
SHORT_S_MAX: Final = 0.0005
"""How long the loop may usually be held up: what a thread costs others by the interpreter's lock
(`server.serve.SWITCH_INTERVAL_S`) is as much."""
_WEIGHT: Final = 1 / 16
_SLOW_WEIGHT: Final = 1 / 2


class Pacing:
    """Told of every round; asked before every round."""

    __slots__ = ("_alone_rounds", "_inline_rounds", "_usual_s")

    def __init__(self) -> None:
        self._alone_rounds = 0
        self._inline_rounds = 0
        self._usual_s = 0.0

    def is_inline(self) -> bool:
        """Whether the loop itself may sync the one log that waits, while no round is under way."""
        if self._alone_rounds < ALONE_ROUNDS_MIN or self._usual_s > SHORT_S_MAX:
            return False
        self._inline_rounds += 1
        return self._inline_rounds % PROBE_ROUNDS != 0

    def round_over(self, took_s: float, *, was_alone: bool | None) -> None:
        """A round took so long. `was_alone`: nothing arrived during it; None: nobody could, since
        the loop did it."""
        weight = _SLOW_WEIGHT if took_s > self._usual_s else _WEIGHT
        self._usual_s += (took_s - self._usual_s) * weight
        if was_alone is not None:
            self._alone_rounds = self._alone_rounds + 1 if was_alone else 0
