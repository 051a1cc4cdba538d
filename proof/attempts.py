"""Which tries at a transaction may be seen by readers of committed records, and when. Pure.

The writer notes before it asks for the commit, and when it was answered or has aborted (`asked`,
`committed`, `aborted`). One that was killed in between leaves it open what became of the last one:
all or nothing, either will do. One that never asked must never be seen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proof.journal import Event

__all__ = ["Attempt", "Sight", "attempts_of", "judge_attempts"]


@dataclass
class Attempt:
    """Times are monotonic seconds."""

    asked: float | None = None
    outcome: str = "unknown"
    """unknown, committed or aborted"""


class Sight(NamedTuple):
    """A record that somebody was given as committed: of which attempt, of how many records."""

    t: float
    attempt: str
    of: int


def attempts_of(events: Iterable[Event]) -> dict[str, Attempt]:
    attempts: dict[str, Attempt] = {}
    for event in events:
        if event["event"] not in ("asked", "committed", "aborted"):
            continue
        attempt = attempts.setdefault(event["attempt"], Attempt())
        if event["event"] == "asked":
            attempt.asked = event["t"]
        else:
            attempt.outcome = event["event"]
    return attempts


def judge_attempts(
    attempts: Mapping[str, Attempt], sights: Iterable[Sight], final: Iterable[Sight]
) -> list[str]:
    """What is wrong, in words. `sights` were while it ran, `final` is the whole log at the end."""
    problems: dict[str, None] = {}
    for sight in sights:
        problem = _too_early(sight, attempts.get(sight.attempt))
        if problem:
            problems.setdefault(problem)
    visible: Counter[str] = Counter()
    written: dict[str, int] = {}
    for sight in final:
        visible[sight.attempt] += 1
        written[sight.attempt] = sight.of
        problem = _too_early(sight, attempts.get(sight.attempt))
        if problem:
            problems.setdefault(problem)
    for name, count in visible.items():
        if count != written[name]:
            problems.setdefault(f"torn: {count} of the {written[name]} records of {name} are there")
    for name, attempt in attempts.items():
        if attempt.outcome == "committed" and name not in visible:
            problems.setdefault(f"lost: {name} was committed and nothing of it is there")
    return list(problems)


def _too_early(sight: Sight, attempt: Attempt | None) -> str | None:
    if attempt is not None and attempt.outcome == "aborted":
        return f"aborted and visible: {sight.attempt}"
    if attempt is None or attempt.asked is None:
        return f"visible and never to be committed: {sight.attempt}"
    if sight.t < attempt.asked:
        return f"visible {attempt.asked - sight.t:.3f} s before its commit: {sight.attempt}"
    return None
