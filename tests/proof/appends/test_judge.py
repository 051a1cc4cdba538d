"""The judge of the lists finds every seeded fault, and nothing in lists without fault."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from proof.appends.judge import Append, Evidence, Reading, judge
from proof.attempts import Attempt

A1 = [Append("a", 0, "a/1", 2), Append("a", 1, "a/1", 2)]
PLAIN = Append("plain", 0)
A2 = Append("a", 2, "a/2", 1)
LIST = [A1[0], PLAIN, A1[1], A2]
ABORTED = Append("a", 3, "a/3", 1)

HEALTHY = Evidence(
    final={0: LIST},
    acknowledged=[(0, value) for value in LIST],
    attempts={
        "a/1": Attempt(1.0, "committed"),
        "a/2": Attempt(2.0, "committed"),
        "a/3": Attempt(None, "aborted"),
    },
    readings=[
        Reading("r1", 0, [(1.5, A1[0]), (1.5, PLAIN), (1.6, A1[1])]),
        Reading("r2", 0, [(9.0, value) for value in LIST]),
        Reading("r3", 0, []),
    ],
)


def read(*values: Append, t: float = 9.0) -> Evidence:
    return replace(HEALTHY, readings=[Reading("r", 0, [(t, value) for value in values])])


def ends(*values: Append) -> Evidence:
    return replace(HEALTHY, final={0: list(values)}, readings=[])


FAULTS: dict[str, tuple[Callable[[], Evidence], str]] = {
    "lost": (lambda: ends(*LIST[:3]), "lost: number 2 of a was acknowledged in partition 0"),
    "twice": (lambda: ends(*LIST, A2), "twice: number 2 of a in partition 0"),
    "swapped": (
        lambda: ends(A1[1], PLAIN, A1[0], A2),
        "out of order: number 0 of a after 1 in partition 0",
    ),
    "torn": (lambda: ends(PLAIN, A1[1], A2), "torn: 1 of the 2 records of a/1 are there"),
    "aborted in the list": (lambda: ends(*LIST, ABORTED), "aborted and visible: a/3"),
    "aborted read": (lambda: read(*LIST, ABORTED), "aborted and visible: a/3"),
    "uncommitted read": (
        lambda: read(*LIST, t=1.75),
        "visible 0.250 s before its commit: a/2",
    ),
    "taken back": (
        lambda: read(*LIST, Append("plain", 1)),
        "taken back: r read number 1 of plain behind the end of 0",
    ),
    "passed over": (
        lambda: read(A1[0], A1[1]),
        "r read number 1 of a as value 1 of partition 0, number 0 of plain is there",
    ),
}


def test_lists_without_fault_have_no_problem():
    assert judge(HEALTHY) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_found(fault):
    make, problem = FAULTS[fault]
    assert problem in judge(make())
