"""Simulated load for the stream router, on a clock that nobody waits for.

A trace says which streams there are, when, and how fast each writes. `simulate` plays it against
the broker's own lanes, `choose` and `review`, or against static hashing; both see the same trace.
What is left out: disks and queues, so a partition takes whatever it is given, and what is measured
is how evenly that is spread, and for how long a partition was given too much.
"""

import heapq
import math
import random
import zlib
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from headrace.broker.streams.lanes import LOAD_SMOOTHED_S
from headrace.broker.streams.router import (
    Action,
    ElasticRule,
    LaneLoad,
    Watch,
    choose,
    review,
)

__all__ = [
    "STEP_S",
    "TRACES",
    "Report",
    "TracedStream",
    "simulate",
]

STEP_S: Final = 0.5
"""As often as the broker looks."""
MEGABYTE: Final = 1_000_000


class TracedStream(NamedTuple):
    opens_s: float
    closes_s: float
    bytes_per_s: float


class Report(NamedTuple):
    imbalance: float
    """The heaviest active partition's bytes/s against the least that it could be, which is the mean
    of them or the fastest stream alone; averaged over time, with the load as weight."""
    worst: float
    """The same at its worst, after the first ten seconds."""
    hot_share: float
    """Share of the bytes that were written to partitions above the hot threshold."""
    reaction_s: float
    """The longest time without a break for which every active partition was hot."""
    partitions_mean: float
    """Active ones, averaged over time."""
    partitions_most: int
    moved_streams: int
    """Asked to close and opened again elsewhere."""
    changes: int
    """Openings and retirements."""


class _Lane:
    def __init__(self) -> None:
        self.streams: dict[int, TracedStream] = {}
        self.bytes_per_s = 0.0
        self.unseen = 0.0
        self.fresh: list[float] = []

    @property
    def real_bytes_per_s(self) -> float:
        return sum(stream.bytes_per_s for stream in self.streams.values())

    def look(self, now_s: float) -> None:
        """As `Lane.look`, with rates in the place of what was written."""
        newest = 1 - math.exp(-STEP_S / LOAD_SMOOTHED_S)
        self.bytes_per_s += newest * (self.real_bytes_per_s - self.bytes_per_s)
        self.unseen *= 1 - newest
        self.unseen += len(self.fresh) * (1 - newest)
        self.fresh.clear()

    def load(self, number: int) -> LaneLoad:
        streams = len(self.streams)
        unseen = min(self.unseen + len(self.fresh), streams)
        return LaneLoad(number, self.bytes_per_s, 0, streams, unseen)


class _Simulation:
    def __init__(self, partitions: int, rule: ElasticRule | None, *, hashed: bool) -> None:
        self.lanes = [_Lane() for _ in range(partitions)]
        self.retired: set[int] = set()
        self.rule = rule
        self.hashed = hashed
        self.watch = Watch()
        self.moved = self.changes = 0
        self.place: dict[int, int] = {}

    @property
    def active(self) -> list[int]:
        return [number for number in range(len(self.lanes)) if number not in self.retired]

    def open(self, key: int, stream: TracedStream, now_s: float) -> None:
        if self.hashed:
            number = zlib.crc32(b"stream %d" % key) % len(self.lanes)
        else:
            loads = [self.lanes[number].load(number) for number in self.active]
            number = choose(loads).partition
        self.place[key] = number
        self.lanes[number].streams[key] = stream
        self.lanes[number].fresh.append(now_s)

    def close(self, key: int) -> None:
        del self.lanes[self.place.pop(key)].streams[key]

    def step(self, now_s: float) -> None:
        for lane in self.lanes:
            lane.look(now_s)
        if self.rule is None:
            return
        loads = [self.lanes[number].load(number) for number in self.active]
        self.watch, decision = review(self.watch, loads, self.rule, round(now_s * 1000))
        if decision is None:
            return
        self.changes += 1
        if decision.action is Action.OPEN:
            again = sorted(self.retired)[: decision.number]
            self.retired.difference_update(again)
            self.lanes += [_Lane() for _ in range(decision.number - len(again))]
            return
        leaving = list(self.lanes[decision.partition].streams.items())
        if decision.action is Action.RETIRE:
            self.retired.add(decision.partition)
        else:
            leaving = sorted(leaving, key=lambda item: item[1].bytes_per_s)[: decision.number]
        for key, stream in leaving:
            self.moved += 1
            self.close(key)
            self.open(key, stream, now_s)


def simulate(
    trace: Iterable[TracedStream],
    partitions: int,
    hot_bytes_per_s: int,
    *,
    rule: ElasticRule | None = None,
    hashed: bool = False,
    watch: Callable[[float, list[float]], None] | None = None,
) -> Report:
    """Play the trace. `partitions` there are at first (and for ever without a `rule`); `watch` is
    shown the real bytes/s of the active partitions at every step."""
    simulation = _Simulation(partitions, rule, hashed=hashed)
    streams = sorted(trace)
    ends: list[tuple[float, int]] = []
    tally = _Tally(hot_bytes_per_s)
    opened, now_s = 0, 0.0
    while opened < len(streams) or ends:
        now_s += STEP_S
        while opened < len(streams) and streams[opened].opens_s <= now_s:
            simulation.open(opened, streams[opened], streams[opened].opens_s)
            heapq.heappush(ends, (streams[opened].closes_s, opened))
            opened += 1
        while ends and ends[0][0] <= now_s:
            simulation.close(heapq.heappop(ends)[1])
        simulation.step(now_s)
        loads = [simulation.lanes[number].real_bytes_per_s for number in simulation.active]
        fastest = max((streams[key].bytes_per_s for key in simulation.place), default=0.0)
        tally.add(now_s, loads, fastest)
        if watch is not None:
            watch(now_s, loads)
    return tally.report(simulation.moved, simulation.changes)


class _Tally:
    def __init__(self, hot_bytes_per_s: int) -> None:
        self._hot = hot_bytes_per_s
        self._weighted = self._bytes = self._hot_bytes = self._worst = 0.0
        self._hot_for_s = self._longest_s = self._partitions = 0.0
        self._steps = self._most = 0

    def add(self, now_s: float, loads: list[float], fastest: float) -> None:
        total = sum(loads)
        self._steps += 1
        self._partitions += len(loads)
        self._most = max(self._most, len(loads))
        self._bytes += total
        self._hot_bytes += sum(load for load in loads if load > self._hot)
        self._hot_for_s = self._hot_for_s + STEP_S if min(loads) > self._hot else 0.0
        self._longest_s = max(self._longest_s, self._hot_for_s)
        if total:
            imbalance = max(loads) / max(total / len(loads), fastest)
            self._weighted += imbalance * total
            if now_s > 10:
                self._worst = max(self._worst, imbalance)

    def report(self, moved: int, changes: int) -> Report:
        return Report(
            imbalance=self._weighted / self._bytes,
            worst=self._worst,
            hot_share=self._hot_bytes / self._bytes,
            reaction_s=self._longest_s,
            partitions_mean=self._partitions / self._steps,
            partitions_most=self._most,
            moved_streams=moved,
            changes=changes,
        )


def _burst(rng: random.Random) -> list[TracedStream]:
    """2,048 streams within two seconds, 2-20 kB/s each, for a minute and a half."""
    return [
        TracedStream(rng.uniform(0, 2), rng.uniform(80, 90), rng.uniform(2e3, 20e3))
        for _ in range(2048)
    ]


def _skew(rng: random.Random) -> list[TracedStream]:
    """256 streams that come over a minute; one of them writes 90 % of everything."""
    small = [TracedStream(rng.uniform(0, 60), 180.0, 20e3) for _ in range(255)]
    return [TracedStream(5.0, 180.0, 255 * 20e3 * 9), *small]


def _uneven(rng: random.Random) -> list[TracedStream]:
    """1,000 streams that come and go for ten minutes; the rates are Pareto's (a = 1.3)."""
    begins = [rng.uniform(0, 540) for _ in range(1000)]
    return [
        TracedStream(at, at + rng.uniform(20, 120), min(10e3 * rng.paretovariate(1.3), 2e6))
        for at in begins
    ]


def _day(rng: random.Random) -> list[TracedStream]:
    """A day of 24 minutes: from 16 streams at night to 1,000 at noon, each 40 to 80 s long and of
    100-300 kB/s."""
    streams = []
    at = 0.0
    while at < 1440:
        wanted = 16 + 984 * max(0.0, math.sin(math.pi * (at - 360) / 720)) ** 2
        at += rng.expovariate(wanted / 60)
        streams.append(TracedStream(at, at + rng.uniform(40, 80), rng.uniform(1e5, 3e5)))
    return streams


TRACES: Final[dict[str, Callable[[random.Random], list[TracedStream]]]] = {
    "burst": _burst,
    "skew": _skew,
    "uneven": _uneven,
    "day": _day,
}
