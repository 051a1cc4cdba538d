"""Which records the group has processed, and how many of them more than once. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["Coverage"]


class Coverage:
    """The offsets of one partition that were processed, as disjoint ranges.

    Reports of several consumers may arrive in any order; the number of ranges stays small because
    each consumer reports what it processed without gaps.
    """

    __slots__ = ("_ends", "_starts", "covered", "processed")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.covered = 0
        """How many different offsets were processed."""
        self.processed = 0
        """How often an offset was processed; more than `covered` after redeliveries."""

    @property
    def redelivered(self) -> int:
        """How often a record was processed that had been processed before."""
        return self.processed - self.covered

    @property
    def end(self) -> int:
        """Behind the last offset of the range that starts at 0: everything before is processed."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def add(self, start: int, end: int) -> None:
        """The records from `start` up to but not including `end` were processed."""
        if start >= end:
            raise ValueError(f"empty range {start}..{end}")
        self.processed += end - start
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
            removed = sum(self._ends[index] - self._starts[index] for index in range(first, last))
        else:
            removed = 0
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.covered += end - start - removed
