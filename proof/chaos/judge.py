"""What all that was told and seen in a round must have in common with the log in the end. Pure.

- of the idempotent producers, what `headrace.testing.history` judges: lost writes, records twice or
  at two places, two values at one offset, what was seen and is gone, producers out of order
- of the groups, what `proof.judge` judges: records that no member was given, polls that skip or go
  back, members that begin below what was committed, commits that go back
- of the transactions, what `proof.appends.judge` judges: aborted or torn reads, commits that are
  lost, what was read and is not the beginning of the list
- of read, process and write: the copy is the original, each record once and in order
- what does not end: groups that stay behind, producers that make no progress after the healing
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headrace.testing.history import History, Place
from headrace.testing.history import judge as judge_history
from proof.appends.judge import Evidence
from proof.appends.judge import judge as judge_lists
from proof.chaos.topics import sent_of
from proof.judge import GroupHistory, Written
from proof.judge import judge as judge_group

__all__ = ["Statement", "judge", "judge_copy"]

PROBLEMS_MAX = 10
"""Of one kind that are named; the rest is counted."""


@dataclass
class Statement:
    """By partition where it says nothing else, in the order of offsets."""

    plain: Mapping[int, Sequence[tuple[int, int]]]
    """(offset, value) in the end."""
    copies: Mapping[int, Sequence[int]]
    """Values, as committed."""
    history: History = field(default_factory=History)
    acked_s: Mapping[Place, float] = field(default_factory=dict)
    groups: Mapping[str, GroupHistory] = field(default_factory=dict)
    behind: Mapping[str, int] = field(default_factory=dict)
    """Records that a group had not committed when it should have had all; by group."""
    lists: Evidence = field(default_factory=lambda: Evidence({}, [], {}, []))
    failures: Sequence[str] = ()
    """What the workers themselves found wrong."""


def judge(statement: Statement) -> list[str]:
    """What is wrong, in words; empty when nothing is."""
    problems = _some(statement.failures)
    log = [
        (Place(partition, offset), sent_of(value))
        for partition, records in statement.plain.items()
        for offset, value in records
    ]
    problems += judge_history(statement.history, log)
    problems += _some(_holes(statement.plain))
    written = {
        partition: [
            Written(value, statement.acked_s.get(Place(partition, offset), 0.0))
            for offset, value in records
        ]
        for partition, records in statement.plain.items()
    }
    for name, history in statement.groups.items():
        problems += [f"{name}: {problem}" for problem in judge_group(written, history).problems]
    for name, records in statement.behind.items():
        if records:
            problems.append(f"{name} does not get on: {records} records behind after the healing")
    originals = {p: [value for _, value in records] for p, records in statement.plain.items()}
    problems += judge_copy(originals, statement.copies)
    return problems + judge_lists(statement.lists)


def judge_copy(
    originals: Mapping[int, Sequence[int]], copies: Mapping[int, Sequence[int]]
) -> list[str]:
    """Each partition's copy is its original."""
    problems = []
    for partition, values in originals.items():
        copy = copies.get(partition, ())
        if list(copy) == list(values):
            continue
        missing = set(values) - set(copy)
        strange = set(copy) - set(values)
        twice = [value for value, count in Counter(copy).items() if count > 1]
        where = f"in the copy of partition {partition}"
        problems += _some(f"lost: {value} is not {where}" for value in sorted(missing))
        problems += _some(f"never committed: {value} is {where}" for value in sorted(strange))
        problems += _some(f"twice: {value} is {where} more than once" for value in twice)
        if not (missing or strange or twice):
            problems.append(f"out of order: the records {where}")
    return problems


def _holes(plain: Mapping[int, Sequence[tuple[int, int]]]) -> Iterable[str]:
    """No record of this topic is a marker or cleaned away, so offsets count up from 0."""
    for partition, records in plain.items():
        for due, (offset, _) in enumerate(records):
            if offset != due:
                yield f"partition {partition} has offset {offset} where {due} is due"
                break


def _some(problems: Iterable[str]) -> list[str]:
    them = list(problems)
    if len(them) > PROBLEMS_MAX:
        them[PROBLEMS_MAX:] = [f"and {len(them) - PROBLEMS_MAX} more of this kind"]
    return them
