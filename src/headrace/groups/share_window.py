"""What a share partition knows of offsets, as runs of equal ones.

A run is a stretch of offsets with one state, one delivery count, one holder and one deadline; the
window is runs end to end, so a batch of a thousand records that is acquired and accepted as a whole
is never a thousand objects. What must not enter: who may change a state, and into which.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from enum import IntEnum
from operator import attrgetter
from typing import Final, NamedTuple

__all__ = ["RecordState", "Run", "Window", "joined"]


class RecordState(IntEnum):
    """KIP-932's states. Accepted and archived records differ in nothing that matters afterwards
    (neither is ever delivered again), so both are FINISHED and lie in one run."""

    AVAILABLE = 0
    ACQUIRED = 1
    ARCHIVING = 2
    """Not to be delivered again, but not dealt with before it is in the dead-letter topic."""
    FINISHED = 3


class Run(NamedTuple):
    """The offsets [first, last]. Holder and deadline are of acquired ones only."""

    first: int
    last: int
    state: RecordState
    delivery_count: int = 0
    member_id: str = ""
    deadline_ms: int = 0

    @property
    def records(self) -> int:
        """How many; a run is never empty."""
        return self.last - self.first + 1

    def within(self, first: int, last: int) -> "Run":
        """The part of this run that is in [first, last]."""
        if first <= self.first and self.last <= last:
            return self
        return self._replace(first=max(first, self.first), last=min(last, self.last))


_FIRST: Final[Callable[[Run], int]] = attrgetter("first")
_LAST: Final[Callable[[Run], int]] = attrgetter("last")


class Window:
    """Runs that cover [start, end) without holes; neighbours always differ. Reading and changing
    costs as many steps as there are runs in the range concerned."""

    __slots__ = ("end", "runs", "start")

    def __init__(self, start: int, runs: Iterable[Run] = ()) -> None:
        """`runs` must follow each other from `start` on."""
        self.start = start
        self.end = start
        self.runs: list[Run] = []
        for run in runs:
            self.put(run)

    def between(self, first: int, last: int) -> list[Run]:
        """What is known of [first, last], cut to it; nothing of a range that is none."""
        if first > last:
            return []
        before, after = self._places(first, last)
        return [run.within(first, last) for run in self.runs[before:after]]

    def put(self, run: Run) -> None:
        """Let `run` replace what was there; it begins within the window or right at its end."""
        before, after = self._places(run.first, run.last)
        pieces = [run]
        if before < after:
            oldest, youngest = self.runs[before], self.runs[after - 1]
            if oldest.first < run.first:
                pieces.insert(0, oldest._replace(last=run.first - 1))
            if youngest.last > run.last:
                pieces.append(youngest._replace(first=run.last + 1))
        if before > 0:
            before -= 1
            pieces.insert(0, self.runs[before])
        if after < len(self.runs):
            pieces.append(self.runs[after])
            after += 1
        self.runs[before:after] = joined(pieces)
        self.end = max(self.end, run.last + 1)

    def drop_before(self, offset: int) -> None:
        """Forget everything below `offset`, which may lie behind the end."""
        if offset <= self.start:
            return
        self.start, self.end = offset, max(self.end, offset)
        del self.runs[: bisect_left(self.runs, offset, key=_LAST)]
        if self.runs and self.runs[0].first < offset:
            self.runs[0] = self.runs[0]._replace(first=offset)

    def _places(self, first: int, last: int) -> tuple[int, int]:
        """runs[before:after] are those with offsets in [first, last]."""
        before = bisect_left(self.runs, first, key=_LAST)
        return before, max(bisect_right(self.runs, last, key=_FIRST), before)


def _alike(one: Run, other: Run) -> bool:
    return one[2:] == other[2:]


def joined(runs: Iterable[Run]) -> list[Run]:
    """Runs that follow each other, neighbours that are alike made one."""
    fewer: list[Run] = []
    for run in runs:
        if fewer and _alike(fewer[-1], run):
            fewer[-1] = fewer[-1]._replace(last=run.last)
        else:
            fewer.append(run)
    return fewer
