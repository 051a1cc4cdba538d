"""Virtual time, what happens in it, and what is random: the ground that a run stands on.

Time moves from event to event; between two of them nothing waits. Events of the same moment happen
in the order in which they were planned. Every source of chance has a name and a generator of its
own, so that one more draw in one place leaves all others as they were.
What must not enter: what the events are.
"""

import heapq
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from random import Random
from typing import Final

__all__ = ["MS", "SECOND", "World"]

MS: Final = 1_000_000
"""In nanoseconds, as all times here."""
SECOND: Final = 1000 * MS

BEGIN: Final = 1000 * SECOND
"""The steady clock when a world begins; clocks do not begin at 0."""
EPOCH_NS: Final = 1_800_000_000 * SECOND
"""The wall clock at the steady clock's 0, in January 2027."""
TAIL_LINES: Final = 400
"""Of the trace that are kept to be shown; all of it is in the hash."""

Act = Callable[[], None]


class World:
    """One run. `seed` decides everything."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ns = BEGIN
        self.wall_offset_ns = 0
        """How far the wall clock is ahead of the true time."""
        self.problems: list[str] = []
        """Broken promises, and what nobody caught."""
        self.is_deaf = False
        """What a dead process does on its way out is not heard."""
        self.events = 0
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._hash = blake2b(digest_size=16)
        self._planned: list[tuple[int, int, Act]] = []
        self._numbers = count()

    # Time

    @property
    def elapsed_s(self) -> float:
        return (self.now_ns - BEGIN) / SECOND

    def wall_ns(self) -> int:
        """What the wall clock shows."""
        return EPOCH_NS + self.now_ns + self.wall_offset_ns

    def at(self, when_ns: int, act: Act) -> None:
        """Plan `act`; what lies in the past happens now."""
        heapq.heappush(self._planned, (max(when_ns, self.now_ns), next(self._numbers), act))

    def after(self, delay_ns: int, act: Act) -> None:
        self.at(self.now_ns + delay_ns, act)

    def run(self, is_over: Callable[[], bool], until_ns: int) -> bool:
        """Let things happen until `is_over`, or that time has come. Whether it is over."""
        planned = self._planned
        while not is_over():
            if not planned or planned[0][0] > until_ns:
                self.now_ns = until_ns
                return is_over()
            self.now_ns, _, act = heapq.heappop(planned)
            self.events += 1
            act()
        return True

    # Chance

    def random(self, name: str) -> Random:
        """A generator for one purpose."""
        return Random(f"{self.seed}/{name}")

    # Trace

    def note(self, what: str) -> None:
        """Something happened that two runs of one seed must agree on."""
        if self.is_deaf:
            return
        line = f"{self.now_ns / SECOND:.6f} {what}"
        self._hash.update(line.encode())
        self.tail.append(line)

    def trace_hash(self) -> str:
        return self._hash.hexdigest()

    def problem(self, what: str) -> None:
        """A promise was broken, or an error reached nobody."""
        if self.is_deaf:
            return
        self.note(f"PROBLEM {what}")
        self.problems.append(f"at {self.elapsed_s:.3f} s: {what}")
