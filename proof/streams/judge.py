"""What the log must have of every stream: pure.

A stream is one opening of a producer: `Name(producer, opening)`. Its records are numbered from 0.
Of each it must hold that

- it is in one partition, under one producer id that no other stream has
- its numbers are 0, 1, 2, ... without a hole, a repetition or a swap
- there are at least as many as were acknowledged, and not more than were sent

What is there beyond the acknowledged was sent again by the next opening; it is counted.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["Judge", "Name", "Told", "Verdict"]

PROBLEMS_KEPT_MAX: Final = 100


class Name(NamedTuple):
    producer: int
    opening: int


class Told(NamedTuple):
    """What the client knows of a stream: so many records were."""

    sent: int
    acknowledged: int


class Verdict(NamedTuple):
    records: int
    streams: int
    """With records in the log."""
    unacknowledged_records: int
    """In the log all the same: the stream had ended before its acknowledgement."""
    problems_count: int
    problems: list[str]
    """The first PROBLEMS_KEPT_MAX."""


class Judge:
    """Shown every record of each partition in its order, and then what the client knows."""

    def __init__(self) -> None:
        self._next: dict[Name, int] = {}
        self._places: dict[Name, tuple[int, int]] = {}
        self._owners: dict[int, Name] = {}
        self._problems: list[str] = []
        self._problems_count = 0

    def add(self, partition: int, producer_id: int, name: Name, number: int) -> None:
        expected = self._next.get(name, 0)
        if not expected and name not in self._places:
            self._begins(partition, producer_id, name)
        elif self._places[name] != (partition, producer_id):
            self._problem(f"{name} is in {self._places[name]} and in {(partition, producer_id)}")
        if number != expected:
            self._problem(f"{name}: number {number} where {expected} is next")
        self._next[name] = number + 1

    def _begins(self, partition: int, producer_id: int, name: Name) -> None:
        self._places[name] = partition, producer_id
        owner = self._owners.setdefault(producer_id, name)
        if owner != name:
            self._problem(f"{owner} and {name} share producer id {producer_id}")

    def verdict(self, told: Mapping[Name, Told]) -> Verdict:
        for name in self._next.keys() - told.keys():
            self._problem(f"{name} was never opened")
        unacknowledged = 0
        for name, known in told.items():
            found = self._next.get(name, 0)
            if found < known.acknowledged:
                self._problem(f"{name}: {known.acknowledged} acknowledged, {found} found")
            if found > known.sent:
                self._problem(f"{name}: {known.sent} sent, {found} found")
            unacknowledged += max(0, found - known.acknowledged)
        return Verdict(
            sum(self._next.values()),
            len(self._next),
            unacknowledged,
            self._problems_count,
            self._problems,
        )

    def _problem(self, what: str) -> None:
        self._problems_count += 1
        if len(self._problems) < PROBLEMS_KEPT_MAX:
            self._problems.append(what)
