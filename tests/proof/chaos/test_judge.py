"""The judge of a round finds every kind of fault in made-up statements, and believes good ones."""

from collections.abc import Callable

import pytest

from headrace.testing.history import History
from proof.appends.judge import Append, Evidence, Reading
from proof.attempts import Attempt
from proof.chaos.judge import PROBLEMS_MAX, Statement, judge, judge_copy
from proof.chaos.topics import sent_of, value_of
from proof.judge import GroupHistory

NUMBERS = 6


def healthy() -> Statement:
    """Two producers and two partitions; a group that read and committed all; a list."""
    plain = {
        partition: [
            (2 * number + producer, value_of(producer, number))
            for number in range(NUMBERS)
            for producer in range(2)
        ]
        for partition in range(2)
    }
    history = History()
    events = [{"t": 1.0, "member": "m", "event": "assigned", "partitions": [0, 1]}]
    for partition, records in plain.items():
        for offset, value in records:
            history.acked(partition, offset, *sent_of(value))
            history.saw(partition, offset, *sent_of(value))
        values = [value for _, value in records]
        read = {"partition": partition, "offset": 0, "values": values}
        events.append({"t": 2.0, "member": "m", "event": "read", **read})
    ends = {0: 2 * NUMBERS, 1: 2 * NUMBERS}
    events.append({"t": 4.0, "sent": 3.0, "member": "m", "event": "committed", "offsets": ends})
    written = Append("w", 0, "w/1", 1)
    return Statement(
        plain=plain,
        copies={partition: [value for _, value in records] for partition, records in plain.items()},
        history=history,
        groups={"crew": GroupHistory([events], {}, {"m": 9.0})},
        behind={"crew": 0},
        lists=Evidence(
            {0: [written]},
            [(0, written)],
            {"w/1": Attempt(1.0, "committed")},
            [Reading("r", 0, [(2.0, written)])],
        ),
    )


def lost(it: Statement) -> None:
    it.history.acked(0, 2 * NUMBERS, "p0", NUMBERS)


def vanished(it: Statement) -> None:
    it.history.saw(1, 2 * NUMBERS, "p1", NUMBERS)


def other_value(it: Statement) -> None:
    it.history.saw(0, 0, "p1", 4)


def repeated(it: Statement) -> None:
    it.plain[0].append((2 * NUMBERS, value_of(0, 3)))


def reordered(it: Statement) -> None:
    records = it.plain[1]
    (a, first), (b, second) = records[0], records[2]
    records[0], records[2] = (a, second), (b, first)


def hole(it: Statement) -> None:
    it.plain[0][-1] = (2 * NUMBERS + 5, it.plain[0][-1][1])


def skipping_poll(it: Statement) -> None:
    events = it.groups["crew"].events[0]
    del events[1]["values"][3:]
    values = [value for _, value in it.plain[0][4:]]
    events.insert(2, {**events[1], "offset": 4, "values": values})


def going_back(it: Statement) -> None:
    events = it.groups["crew"].events[0]
    more = [{**events[-1], "sent": 5.0, "t": 6.0, "offsets": {0: 3}}]
    it.groups["crew"].events[0].extend(more)


def below_committed(it: Statement) -> None:
    events = it.groups["crew"].events[0]
    again = {"partition": 0, "offset": 1, "values": [it.plain[0][1][1]]}
    events.append({"t": 7.0, "member": "n", "event": "assigned", "partitions": [0]})
    events.append({"t": 8.0, "member": "n", "event": "read", **again})


def standing_still(it: Statement) -> None:
    it.behind["crew"] = 7


def aborted_read(it: Statement) -> None:
    it.lists.attempts["w/1"].outcome = "aborted"


def copied_twice(it: Statement) -> None:
    it.copies[0].append(it.copies[0][2])


def not_copied(it: Statement) -> None:
    it.copies[1].pop()


def copied_in_disorder(it: Statement) -> None:
    it.copies[0].reverse()


def complaint(it: Statement) -> None:
    it.failures = ["p0 does not end"]


def test_a_healthy_statement_is_believed() -> None:
    assert judge(healthy()) == []


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lost, "lost: number 6 of p0 was acknowledged"),
        (vanished, "lost: number 6 of p1 was seen"),
        (other_value, "two values"),
        (repeated, "duplicate: number 3 of p0"),
        (reordered, "out of order"),
        (hole, "partition 0 has offset 17 where 11 is due"),
        (skipping_poll, "passed over"),
        (going_back, "committed 3 after"),
        (below_committed, "began at"),
        (standing_still, "crew does not get on: 7 records behind"),
        (aborted_read, "aborted and visible"),
        (copied_twice, "twice: 1 is in the copy of partition 0"),
        (not_copied, f"lost: {value_of(1, NUMBERS - 1)} is not in the copy of partition 1"),
        (copied_in_disorder, "out of order: the records in the copy of partition 0"),
        (complaint, "p0 does not end"),
    ],
)
def test_each_kind_of_fault_is_found(harm: Callable[[Statement], None], named: str) -> None:
    statement = healthy()
    harm(statement)
    assert any(named in problem for problem in judge(statement)), judge(statement)


def test_what_nobody_wrote_is_found_in_the_copy() -> None:
    (problem,) = judge_copy({0: [1, 2]}, {0: [1, 2, 3]})
    assert problem == "never committed: 3 is in the copy of partition 0"


def test_many_problems_of_a_kind_are_counted() -> None:
    problems = judge_copy({0: list(range(100))}, {0: []})
    assert len(problems) == PROBLEMS_MAX + 1


def test_a_place_is_found_again_from_its_value() -> None:
    assert sent_of(value_of(3, 17)) == ("p3", 17)
