"""Where new streams go, and how many partitions an elastic topic has open for them.

Pure: measurements in, a decision out; no clock, no loop, no log. Two questions:

- `choose`: which active partition is the least loaded? A load is bytes/s (smoothed by whoever
  measures), plus the queue as if it were to be worked off in QUEUE_WORKED_OFF_S, plus, as far as
  streams came too lately to be measured, what a stream of the topic writes on average. Without the
  last a burst of streams would all go where the load was least before the burst.
- `review`: should partitions be opened, because all active ones have been hot for OPEN_AFTER_MS;
  should a hot one be relieved, because others are cool and it has several streams; or one be
  retired, because the others could carry everything with IDLE_SHARE of what is hot, for the
  cool-down? The thresholds are far apart, so what one decides the other does not undo.

A stream is never moved: to relieve is to ask some to close, and what their producers open next is
another stream. What must not enter: how a decision is carried out (`elastic`).
"""

import math
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

__all__ = [
    "Action",
    "Choice",
    "Decision",
    "ElasticRule",
    "LaneLoad",
    "Watch",
    "choose",
    "review",
]

QUEUE_WORKED_OFF_S: Final = 1.0
OPEN_AFTER_MS: Final = 1_000
"""So long all active partitions must be hot: longer than a burst that the queue takes up."""
OPEN_INTERVAL_MS: Final = 2_000
"""Between two openings: what the first one changed must show in the load."""
OPEN_TARGET_SHARE: Final = 0.7
"""Of what is hot, is what opening aims at for each partition."""
IDLE_SHARE: Final = 0.4
COOL_SHARE: Final = 0.5
"""Of what the hottest partition carries, is so little that the coldest should take some of it."""
RELIEVE_INTERVAL_MS: Final = 8_000
"""Between two times that streams are asked to close: the first must show in the load."""


class LaneLoad(NamedTuple):
    """One active partition, measured."""

    partition: int
    bytes_per_s: float
    queue_bytes: int
    """Appended by streams and not yet durable."""
    streams: int
    unseen: float
    """How much of them bytes_per_s does not show yet: 1.0 for one that was opened just now, and
    less and less as the smoothed rate takes it in."""

    @property
    def weight(self) -> float:
        """Bytes/s that the partition has to take on."""
        return self.bytes_per_s + self.queue_bytes / QUEUE_WORKED_OFF_S


class Choice(NamedTuple):
    partition: int
    weight: float
    """Of the partition chosen, with what is expected of streams that were not measured yet."""
    heaviest: float
    """The greatest such weight of all that could have been chosen."""


class ElasticRule(NamedTuple):
    """A topic's configuration, as far as it matters here."""

    partitions_min: int
    partitions_max: int
    hot_bytes_per_s: int
    cool_down_ms: int


class Action(Enum):
    OPEN = "open"
    """More partitions, `number` of them: retired ones first, then new ones."""
    RETIRE = "retire"
    """The coldest gets no new streams."""
    RELIEVE = "relieve"
    """`number` streams of a hot one are asked to close."""


class Decision(NamedTuple):
    action: Action
    number: int
    partition: int
    """The one to retire or relieve; -1 when some are to be opened."""
    why: str
    active: int
    bytes_per_s: float
    """Of all active partitions together."""
    coldest: float
    hottest: float


class Watch(NamedTuple):
    """What one review leaves for the next. Times of a steady clock."""

    hot_since_ms: int | None = None
    """All active partitions are hot since."""
    idle_since_ms: int | None = None
    """One less would do since."""
    changed_ms: int | None = None


def choose(loads: Sequence[LaneLoad]) -> Choice:
    """The least loaded of `loads`, which must not be empty; of equals the one with the fewest
    streams, then the first."""
    seen = sum(load.streams - load.unseen for load in loads)
    usual = sum(load.bytes_per_s for load in loads) / max(seen, 1.0)
    weights = [load.weight + load.unseen * usual for load in loads]
    least = min(
        range(len(loads)),
        key=lambda number: (weights[number], loads[number].streams, loads[number].partition),
    )
    return Choice(loads[least].partition, weights[least], max(weights))


def review(
    watch: Watch, loads: Sequence[LaneLoad], rule: ElasticRule, now_ms: int
) -> tuple[Watch, Decision | None]:
    """Look at the active partitions; the decision, if there is one, counts as carried out now."""
    watch = _watched(watch, loads, rule, now_ms)
    decision = _bounds(loads, rule) or _opening(watch, loads, rule, now_ms)
    if decision is None:
        decision = _relieving(watch, loads, rule, now_ms) or _retiring(watch, loads, rule, now_ms)
    if decision is None:
        return watch, None
    return Watch(changed_ms=now_ms), decision


def _watched(watch: Watch, loads: Sequence[LaneLoad], rule: ElasticRule, now_ms: int) -> Watch:
    is_hot = all(load.weight >= rule.hot_bytes_per_s for load in loads)
    rest = len(loads) - 1
    total = sum(load.weight for load in loads)
    is_idle = rest > 0 and total / rest <= rule.hot_bytes_per_s * IDLE_SHARE
    return Watch(
        (now_ms if watch.hot_since_ms is None else watch.hot_since_ms) if is_hot else None,
        (now_ms if watch.idle_since_ms is None else watch.idle_since_ms) if is_idle else None,
        watch.changed_ms,
    )


def _bounds(loads: Sequence[LaneLoad], rule: ElasticRule) -> Decision | None:
    if len(loads) < rule.partitions_min:
        missing = rule.partitions_min - len(loads)
        return _decision(Action.OPEN, missing, -1, "fewer than headrace.partitions.min", loads)
    if len(loads) > rule.partitions_max:
        coldest = _coldest(loads).partition
        return _decision(Action.RETIRE, 1, coldest, "more than headrace.partitions.max", loads)
    return None


def _opening(
    watch: Watch, loads: Sequence[LaneLoad], rule: ElasticRule, now_ms: int
) -> Decision | None:
    room = rule.partitions_max - len(loads)
    if room <= 0 or watch.hot_since_ms is None or now_ms - watch.hot_since_ms < OPEN_AFTER_MS:
        return None
    if watch.changed_ms is not None and now_ms - watch.changed_ms < OPEN_INTERVAL_MS:
        return None
    total = sum(load.weight for load in loads)
    wanted = math.ceil(total / (rule.hot_bytes_per_s * OPEN_TARGET_SHARE)) - len(loads)
    count = max(1, min(wanted, len(loads), room))  # at most doubled at a time
    return _decision(Action.OPEN, count, -1, "all active partitions are hot", loads)


def _relieving(
    watch: Watch, loads: Sequence[LaneLoad], rule: ElasticRule, now_ms: int
) -> Decision | None:
    if watch.changed_ms is not None and now_ms - watch.changed_ms < RELIEVE_INTERVAL_MS:
        return None
    hottest = max(loads, key=lambda load: load.weight)
    coldest = _coldest(loads).weight
    if (
        hottest.weight < rule.hot_bytes_per_s
        or coldest > hottest.weight * COOL_SHARE
        or hottest.streams < 2
    ):
        return None
    mean = sum(load.weight for load in loads) / len(loads)
    share = min(1 - mean / hottest.weight, 0.5)
    number = max(1, math.floor(hottest.streams * share))
    return _decision(Action.RELIEVE, number, hottest.partition, "hot, while others are cool", loads)


def _retiring(
    watch: Watch, loads: Sequence[LaneLoad], rule: ElasticRule, now_ms: int
) -> Decision | None:
    if len(loads) <= rule.partitions_min or watch.idle_since_ms is None:
        return None
    rested_ms = now_ms - max(watch.idle_since_ms, watch.changed_ms or watch.idle_since_ms)
    if rested_ms < rule.cool_down_ms:
        return None
    coldest = _coldest(loads).partition
    return _decision(Action.RETIRE, 1, coldest, "the others can carry all of it", loads)


def _coldest(loads: Sequence[LaneLoad]) -> LaneLoad:
    """Of equals the one with the fewest streams to send away, then the last."""
    return min(loads, key=lambda load: (load.weight, load.streams, -load.partition))


def _decision(
    action: Action, count: int, partition: int, why: str, loads: Sequence[LaneLoad]
) -> Decision:
    weights = [load.weight for load in loads]
    return Decision(
        *(action, count, partition, why, len(loads)),
        *(
            sum(load.bytes_per_s for load in loads),
            min(weights, default=0.0),
            max(weights, default=0.0),
        ),
    )
