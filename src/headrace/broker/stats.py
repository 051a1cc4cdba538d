"""What the broker counts while it works: plain integers, read by whoever shows them.

Counting happens once a batch or once a request, never once a record, and costs a few additions:
no labels are looked up and nothing is locked, because everything here is touched on the event
loop's thread only; what other threads measure is handed to the loop first (`sync_round`,
`catalog_commit`). All durations are in seconds, all sizes in bytes. Counts start at zero with the
process.

What must not enter: names and formats of metrics (`doors.http`), clocks, anything per client.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from typing import Final

from headrace.broker.grpc_stats import GrpcStats
from headrace.log.contract import SyncRound
from headrace.wire.apis import ApiKey

__all__ = [
    "LATENCY_BOUNDS_S",
    "SIZE_BOUNDS_BYTES",
    "CompactionStats",
    "Histogram",
    "Rebalances",
    "Stats",
    "Traffic",
    "TransactionStats",
]

LATENCY_BOUNDS_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
SIZE_BOUNDS_BYTES: Final = (1e3, 1e4, 1e5, 1e6, 4e6, 1.6e7, 6.4e7)
TRANSACTION_BOUNDS_S: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
REBALANCE_BOUNDS_S: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)

_KEYS: Final = max(ApiKey) + 1


class Histogram:
    """How many observations fell between fixed bounds; one bisection each."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        """Inclusive upper ends, rising."""
        self.counts = array("Q", bytes(8 * (len(bounds) + 1)))
        """Per bucket, not cumulative; the last is for what lies above every bound."""
        self.total = 0.0
        """The sum of all that was observed."""

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Traffic:
    """What went into and out of one topic."""

    __slots__ = ("fetched_bytes", "produced_batches")

    def __init__(self) -> None:
        self.produced_batches = 0
        """Handed to the log, retries included; their bytes are counted by partition."""
        self.fetched_bytes = 0
        """Of batches put into answers."""


class Rebalances:
    """The rebalances of one group that have ended, and the one under way."""

    __slots__ = ("began_ms", "duration_total_s", "ended", "last_duration_s")

    def __init__(self) -> None:
        self.began_ms: int | None = None
        self.ended = 0
        self.duration_total_s = 0.0
        self.last_duration_s = 0.0

    def note(self, is_rebalancing: bool, now_ms: int) -> float | None:
        """The group was seen; how long its rebalance took if it has just ended."""
        if is_rebalancing:
            if self.began_ms is None:
                self.began_ms = now_ms
            return None
        if self.began_ms is None:
            return None
        self.last_duration_s = (now_ms - self.began_ms) / 1000
        self.duration_total_s += self.last_duration_s
        self.ended += 1
        self.began_ms = None
        return self.last_duration_s


class CompactionStats:
    """What compaction did since the start."""

    __slots__ = ("failures", "freed_bytes", "last_ended_s", "passes", "read_bytes", "seconds")

    def __init__(self) -> None:
        self.passes = 0
        self.failures = 0
        self.read_bytes = 0
        self.freed_bytes = 0
        self.seconds = 0.0
        self.last_ended_s = 0.0
        """Wall clock; 0 before the first."""


class TransactionStats:
    """What became of transactions since the start."""

    __slots__ = ("aborted", "committed", "duration", "end_retries", "fenced", "timeouts")

    def __init__(self) -> None:
        self.committed = 0
        """Ended everywhere, as `aborted`."""
        self.aborted = 0
        self.timeouts = 0
        """Of the aborted ones, those that took too long."""
        self.fenced = 0
        """Requests of producers whose transactional id is another's by now."""
        self.end_retries = 0
        """Ends that some partition or group did not take, and that are tried again."""
        self.duration = Histogram(TRANSACTION_BOUNDS_S)
        """From the first partition or group until all of them knew of the end."""

    def ended(self, is_committed: bool, duration_ms: int) -> None:
        self.committed += is_committed
        self.aborted += not is_committed
        self.duration.observe(max(0, duration_ms) / 1000)


class Stats:
    """One for a broker."""

    def __init__(self) -> None:
        self.grpc = GrpcStats()
        self.connections = 0
        """Open now."""
        self.connections_accepted = 0
        self.connections_refused = 0
        """Above max.connections."""
        self.malformed_requests = 0
        """Each closed its connection."""
        self.latencies: list[Histogram | None] = [None] * _KEYS
        """By API key, from a request's arrival to its answer: of Fetch and of the group APIs that
        is mostly waiting for data or for others. None until the first request."""
        self.errors: Counter[tuple[int, int]] = Counter()
        """By API key and error code: error codes in answers, several in one answer if it speaks of
        several things."""
        self.fetch_bytes = Histogram(SIZE_BOUNDS_BYTES)
        """Of answers that hold records."""
        self.sync_latency = Histogram(LATENCY_BOUNDS_S)
        self.high_watermark_delay = Histogram(LATENCY_BOUNDS_S)
        self.syncs_failed = 0
        """Partitions that went offline because a sync failed."""
        self.catalog_latency = Histogram(LATENCY_BOUNDS_S)
        self.catalog_changes = 0
        self.catalog_failures = 0
        """Commits that failed."""
        self.catalog_is_failed = False
        """The last commit failed: the next one may work, or a restart is needed."""
        self.offsets_committed = 0
        """Offsets of partitions, made durable for groups."""
        self.rebalance_duration = Histogram(REBALANCE_BOUNDS_S)
        self.rebalance_causes: Counter[str] = Counter()
        self.compaction = CompactionStats()
        self.transactions = TransactionStats()

    def answered(self, api_key: int, seconds: float, count: int = 1) -> None:
        """As many requests that arrived `seconds` ago have their answers."""
        latency = self.latencies[api_key]
        if latency is None:
            latency = self.latencies[api_key] = Histogram(LATENCY_BOUNDS_S)
        latency.counts[bisect_left(LATENCY_BOUNDS_S, seconds)] += count
        latency.total += seconds * count

    def sync_round(self, round_: SyncRound) -> None:
        """The flusher's report of one round of group commit."""
        self.sync_latency.observe(round_.sync_s)
        self.high_watermark_delay.observe(round_.delay_s)
        self.syncs_failed += round_.failed

    def catalog_commit(self, seconds: float, changes: int, is_failed: bool) -> None:
        """The catalog's report of one commit."""
        self.catalog_latency.observe(seconds)
        self.catalog_changes += changes
        self.catalog_failures += is_failed
        self.catalog_is_failed = is_failed
