"""What clients were told and what they saw, and the judgement whether one log explains it all.

Record everything while a broker is maltreated (`History.acked`, `History.saw`), read the whole log
at the end, and `judge`:

- every acknowledged record is in the log, at the offset that was acknowledged
- no record is there twice, no offset was ever seen with two values
- what a reader saw, even before a crash, is still there: only durable records are readable
- the records of one producer stand in each partition in the order sent, without a hole: an
  acknowledgement of a later one means that the earlier ones are in

A send without an answer may be in the log or not. Pure: no I/O, no clock. Producers number what
they send to each partition from 0.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["History", "Place", "Sent", "judge"]

PROBLEMS_MAX: Final = 20
"""Told in full; more are only counted."""


class Sent(NamedTuple):
    """The `sequence`-th record that a producer sent to one partition."""

    producer: str
    sequence: int


class Place(NamedTuple):
    partition: int
    offset: int


@dataclass(slots=True)
class History:
    """Filled by many threads; judged when they are done."""

    acks: list[tuple[Place, Sent]] = field(default_factory=list)
    sightings: list[tuple[Place, Sent]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acked(self, partition: int, offset: int, producer: str, sequence: int) -> None:
        """The broker said that this record is at this place."""
        with self._lock:
            self.acks.append((Place(partition, offset), Sent(producer, sequence)))

    def saw(self, partition: int, offset: int, producer: str, sequence: int) -> None:
        """A reader was given this record from this place."""
        with self._lock:
            self.sightings.append((Place(partition, offset), Sent(producer, sequence)))


def judge(history: History, log: Iterable[tuple[Place, Sent]]) -> list[str]:
    """What is wrong, in words; empty when nothing is. `log` is the whole log at the end, each
    partition in the order of offsets."""
    problems: list[str] = []
    final: dict[Place, Sent] = {}
    for place, sent in log:
        if place in final:
            problems.append(f"the final read gave {_at(place)} twice")
        final[place] = sent
    problems += _against(final, history.acks, "was acknowledged")
    problems += _against(final, history.sightings, "was seen")
    problems += _twice_acknowledged(history.acks)
    problems += _streams(final)
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [f"and {len(problems) - PROBLEMS_MAX} more"]
    return problems


def _against(final: dict[Place, Sent], told: Iterable[tuple[Place, Sent]], how: str) -> list[str]:
    problems = []
    for place, sent in told:
        found = final.get(place)
        if found is None:
            problems.append(f"lost: {_name(sent)} {how} at {_at(place)}, nothing is there")
        elif found != sent:
            problems.append(
                f"two values: {_name(sent)} {how} at {_at(place)}, {_name(found)} is there"
            )
    return problems


def _twice_acknowledged(acks: Iterable[tuple[Place, Sent]]) -> list[str]:
    problems = []
    first: dict[tuple[int, Sent], Place] = {}
    for place, sent in acks:
        known = first.setdefault((place.partition, sent), place)
        if known != place:
            problems.append(
                f"moved: {_name(sent)} was acknowledged at {_at(known)} and at {_at(place)}"
            )
    return problems


def _streams(final: dict[Place, Sent]) -> list[str]:
    """Each producer's records in each partition count up from 0, one by one."""
    problems = []
    seen: defaultdict[tuple[int, str], dict[int, int]] = defaultdict(dict)
    for place in sorted(final):
        sent = final[place]
        stream = seen[place.partition, sent.producer]
        expected = len(stream)
        if sent.sequence in stream:
            problems.append(
                f"duplicate: {_name(sent)} at {_at(place)} is at offset "
                f"{stream[sent.sequence]} already"
            )
        elif sent.sequence != expected:
            problems.append(
                f"out of order: {_name(sent)} at {_at(place)}, where number {expected} is due"
            )
        stream[sent.sequence] = place.offset
    return problems


def _name(sent: Sent) -> str:
    return f"number {sent.sequence} of {sent.producer}"


def _at(place: Place) -> str:
    return f"offset {place.offset} of partition {place.partition}"
