"""The same thing done to every system in turn, again and again, and what came of it.

A `Case` is one row: what is done to a running system in one round. Systems of one durability run
side by side from the first case to the last, so that what warms up is warm; those that are not
their turn idle. In each round the systems take turns, and each round begins with another one, so
that whatever else the machine does hits all alike. Rows hold medians of rounds and keep them all.
"""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.systems import DURABILITIES, Durability, Running, System

__all__ = ["Case", "ComparedRow", "Sample", "Settings", "compare"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How long, how often and where. `peer` is a Kafka broker that somebody else has started."""

    directory: str
    seconds: float
    bytes_max: int
    rounds: int
    warm_up_s: float = 0
    """Of work that does not count, for each system after its start."""
    peer: str | None = None
    peer_name: str = "peer"


@dataclass(slots=True)
class Sample:
    """One round of one system."""

    value: float
    """In the case's unit."""
    seconds: float = float("nan")
    records: int = 0
    size_bytes: int = 0
    """Of the values alone."""
    cpu_s: float = float("nan")
    """Of the system's processes, in this round."""
    detail: dict[str, Any] = field(default_factory=dict)
    """Whatever else was seen: shown where it is a number, all in the JSON."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    workload: str
    what: str
    durability: Durability
    unit: str
    run: Callable[[Running, Settings], Sample]
    lower_is_better: bool = False
    at: dict[str, Any] = field(default_factory=dict)
    """Where on a plot it is: {"batch_bytes": 1024}."""
    families: frozenset[str] = frozenset({"kafka", "nats", "redis"})
    """Drivers that can do it."""
    needs_processes: bool = False
    """It starts another one or looks at memory: nothing for a system that was not started here."""
    rounds: int | None = None
    """Where they are not the settings'."""
    aim: str = ""
    yardstick: Callable[[Settings], Sample] | None = None
    """A plain program that takes its turn in each round too, under the name `yardstick`."""

    def is_for(self, running: Running) -> bool:
        return running.family in self.families and bool(running.pids or not self.needs_processes)


@dataclass(slots=True)
class ComparedRow:
    """A case and its samples, by the name of the system."""

    case: Case
    samples: dict[str, list[Sample]]
    failures: dict[str, str] = field(default_factory=dict)
    """Why a system has no samples, or fewer."""
    took_s: float = 0
    """All rounds of all systems, with what goes around them."""

    def value(self, name: str) -> float:
        """The median of the rounds; NaN where there are none."""
        return _median(sample.value for sample in self.samples.get(name, []))

    def ratio(self, ours: str, other: str) -> float:
        """How many times as good `ours` is: above 1 is ahead, whichever way the unit points."""
        a, b = self.value(ours), self.value(other)
        if self.case.lower_is_better:
            a, b = b, a
        return a / b if b else float("nan")

    def cpu_s_per_gb(self, name: str) -> float:
        """Of all rounds together: clock ticks are too coarse for one."""
        samples = self.samples.get(name, [])
        size_bytes = sum(sample.size_bytes for sample in samples)
        return sum(s.cpu_s for s in samples) / size_bytes * 1e9 if size_bytes else float("nan")

    def detail(self, name: str) -> dict[str, float]:
        """Medians of whatever numbers the rounds had beside."""
        samples = self.samples.get(name, [])
        keys = [key for key, seen in samples[0].detail.items() if isinstance(seen, int | float)]
        return {key: _median(s.detail[key] for s in samples if key in s.detail) for key in keys}


YARDSTICK = "yardstick"


def compare(
    cases: Sequence[Case],
    systems: Sequence[System],
    settings: Settings,
    warm_up: Callable[[Running, Settings], None],
) -> Iterator[ComparedRow | Running]:
    """Run the cases, those of one durability after those of the other.

    Yields each system when it has started and is warm, then each row when it is done.
    """
    for durability in DURABILITIES:
        wanted = [case for case in cases if case.durability == durability]
        if not wanted:
            continue
        with contextlib.ExitStack() as stack:
            running = []
            for system in systems:
                one = stack.enter_context(system.start(settings.directory, durability))
                running.append(one)
                warm_up(one, settings)
                yield one
            for case in wanted:
                yield _row(case, running, settings)


def _row(case: Case, running: Sequence[Running], settings: Settings) -> ComparedRow:
    started = time.perf_counter()
    able = [one for one in running if case.is_for(one)]
    row = ComparedRow(case, {one.name: [] for one in able})
    for number in range(case.rounds or settings.rounds):
        if case.yardstick is not None:
            row.samples.setdefault(YARDSTICK, []).append(case.yardstick(settings))
        for turn in range(len(able)):
            one = able[(number + turn) % len(able)]
            if one.name in row.failures:
                continue
            os.sync()  # nobody waits for the disk to take what another has left
            try:
                row.samples[one.name].append(_with_cpu(case, one, settings))
            except Exception as error:  # noqa: BLE001 - one system's row must not end the run
                row.failures[one.name] = f"{type(error).__name__}: {error}"
                print(f"{case.what}: {one.name}: {row.failures[one.name]}", file=sys.stderr)
    row.took_s = time.perf_counter() - started
    return row


def _with_cpu(case: Case, one: Running, settings: Settings) -> Sample:
    before_s = one.cpu_s()
    sample = case.run(one, settings)
    if sample.cpu_s != sample.cpu_s:  # not measured closer by the case itself
        sample.cpu_s = one.cpu_s() - before_s
    return sample


def _median(values: Iterator[float]) -> float:
    seen = list(values)
    return statistics.median(seen) if seen else float("nan")
