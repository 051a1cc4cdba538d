"""When nothing comes: is there nothing, or does it not come? Pure; the caller has the clock.

A quiet topic is no fault, and one cannot wait on it for a record. So when nothing is left to poll,
at most twice in `stall_s_max`, the end of each partition that was silent since is asked for: a
partition that stood still from one look to the next, short of what was there at the first, is
stuck. Where a partition ends is told by the broker's end-of-partition events too: behind the last
record there may be markers of transactions.
"""

from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import KafkaError

from headrace.exactly_once.errors import Stalled

__all__ = ["End", "Place", "Silence"]

Place = tuple[str, int]
"""Topic and partition."""

NOWHERE = -1


class End(NamedTuple):
    place: Place
    offset: int


class Silence:
    """Where each partition stands, and where it stood and ended at the last look."""

    def __init__(self, stall_s_max: float, now: float) -> None:
        self.stall_s_max = stall_s_max
        self.trouble: KafkaError | None = None
        """What the client said last; told with what it may explain."""
        self._reached: dict[Place, int] = {}
        self._moved: set[Place] = set()
        self._behind: dict[Place, tuple[int, int]] = {}
        """At the last look: (reached, end)."""
        self._looked_at = now
        self._answered_at = now

    def reached(self, place: Place, offset: int, now: float) -> None:
        """Everything before `offset` has come."""
        self._reached[place] = offset
        self._moved.add(place)
        self._answered_at = now
        self.trouble = None

    def forget(self, places: Iterable[Place]) -> None:
        """They come or go: what was known of them no longer holds."""
        for place in places:
            self._reached.pop(place, None)
            self._behind.pop(place, None)

    def is_due(self, now: float) -> bool:
        return now - self._looked_at >= self.stall_s_max / 2

    def is_silent(self, place: Place) -> bool:
        """Nothing came of it since the last look."""
        return place not in self._moved

    def looked(self, ends: Iterable[End], now: float) -> str | None:
        """Of the silent partitions. What is stuck, in words, or None."""
        before, self._behind = self._behind, {}
        self._moved.clear()
        self._looked_at = self._answered_at = now
        for place, end in ends:
            at = self._reached.get(place, NOWHERE)
            known = before.get(place)
            if known is not None and known[0] == at < known[1]:
                where = "no offset" if at == NOWHERE else f"offset {at}"
                return (
                    f"partition {place[1]} of {place[0]} stands at {where} and ends at {end}, "
                    f"and nothing came for {self.stall_s_max / 2:g} s"
                )
            self._behind[place] = at, end
        return None

    def unanswered(self, now: float, error: KafkaError) -> None:
        """No broker said where partitions end; asked again a little later. Raises Stalled."""
        if now - self._answered_at >= self.stall_s_max:
            raise Stalled(f"no broker answers for {now - self._answered_at:.0f} s", error)
        self._looked_at = now - self.stall_s_max / 2 + min(1.0, self.stall_s_max / 10)
