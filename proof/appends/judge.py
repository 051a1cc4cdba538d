"""What appends and reads say together, and what they must not say. Pure.

Every partition is a list: what stands in it in the end, as committed. Then

- what was appended and acknowledged (by its own answer, or by its transaction's commit) is in the
  list, once
- a writer's numbers stand in the list in the order in which it wrote them
- every read, whenever it began and ended, is the list's beginning: nothing passed over, nothing out
  of order, nothing that a crash has taken back
- nothing of an aborted or unfinished transaction was ever read, and of each either all or nothing
  (`proof.attempts`)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proof.attempts import Attempt, Sight, judge_attempts

__all__ = ["Append", "Evidence", "Reading", "judge"]

PROBLEMS_MAX = 10
"""Of one kind that are named; the rest is counted."""


class Append(NamedTuple):
    """A value of a list. `attempt` is its transaction, of `of` appends; empty for those without."""

    writer: str
    number: int
    attempt: str = ""
    of: int = 0


class Reading(NamedTuple):
    """Of one partition from its beginning; when each value came, monotonic seconds."""

    reader: str
    partition: int
    values: Sequence[tuple[float, Append]]


@dataclass
class Evidence:
    final: Mapping[int, Sequence[Append]]
    """By partition, in the order of offsets."""
    acknowledged: Sequence[tuple[int, Append]]
    """(partition, value); of transactions, those that were answered."""
    attempts: Mapping[str, Attempt]
    readings: Sequence[Reading]


def judge(evidence: Evidence) -> list[str]:
    problems = _some(_order(evidence.final))
    problems += _some(_lost(evidence))
    problems += _some(_readings(evidence))
    sights = (s for one in evidence.readings for t, value in one.values for s in _sight(t, value))
    final = (
        sight
        for values in evidence.final.values()
        for value in values
        for sight in _sight(float("inf"), value)
    )
    return problems + _some(judge_attempts(evidence.attempts, sights, final))


def _sight(t: float, value: Append) -> Iterator[Sight]:
    if value.attempt:
        yield Sight(t, value.attempt, value.of)


def _order(final: Mapping[int, Sequence[Append]]) -> Iterator[str]:
    for partition, values in final.items():
        last: dict[str, int] = {}
        for value in values:
            before = last.get(value.writer, -1)
            if value.number == before:
                yield f"twice: {_name(value)} in partition {partition}"
            elif value.number < before:
                yield f"out of order: {_name(value)} after {before} in partition {partition}"
            last[value.writer] = max(before, value.number)


def _lost(evidence: Evidence) -> Iterator[str]:
    there = {p: set(values) for p, values in evidence.final.items()}
    for partition, value in evidence.acknowledged:
        if value not in there.get(partition, ()):
            yield f"lost: {_name(value)} was acknowledged in partition {partition}"


def _readings(evidence: Evidence) -> Iterator[str]:
    for reader, partition, values in evidence.readings:
        final = evidence.final.get(partition, ())
        for at, (_, value) in enumerate(values):
            if at >= len(final):
                yield f"taken back: {reader} read {_name(value)} behind the end of {partition}"
                break
            if final[at] != value:
                yield (
                    f"{reader} read {_name(value)} as value {at} of partition {partition}, "
                    f"{_name(final[at])} is there"
                )
                break


def _name(value: Append) -> str:
    return f"number {value.number} of {value.writer}"


def _some(problems: Iterable[str]) -> list[str]:
    them = list(problems)
    if len(them) > PROBLEMS_MAX:
        them[PROBLEMS_MAX:] = [f"and {len(them) - PROBLEMS_MAX} more of this kind"]
    return them
