"""The measurements. `WORKLOADS` are done to every system in turn (`bench.compare`); `ALONE` are
rows of Headrace that have no like elsewhere or bring what they are compared with."""

from collections.abc import Callable, Iterator

from bench.compare import Case, Settings
from bench.report import Row
from bench.workloads import alone
from bench.workloads.clients import librdkafka, transactions
from bench.workloads.lifecycle import memory, start
from bench.workloads.readers import catch_up, fan_out, fetch
from bench.workloads.spread import connections, partitions
from bench.workloads.throughput import (
    batch_sizes,
    large_batches,
    one_record_at_a_time,
    small_batches,
)
from bench.workloads.workers import workers

__all__ = ["ALONE", "WORKLOADS"]

WORKLOADS: dict[str, Callable[[Settings], list[Case]]] = {
    "large": large_batches,
    "small": small_batches,
    "ack": one_record_at_a_time,
    "fetch": fetch,
    "sizes": batch_sizes,
    "connections": connections,
    "partitions": partitions,
    "fan-out": fan_out,
    "catch-up": catch_up,
    "librdkafka": librdkafka,
    "transactions": transactions,
    "start": start,
    "memory": memory,
}
ALONE: dict[str, Callable[[Settings], Iterator[Row]]] = {
    "fixture": alone.fixture,
    "workers": workers,
    "groups": alone.groups,
    "one-more": alone.one_more,
    "compaction": alone.compaction,
    "ingest": alone.ingest_streams,
    "zerobus": alone.zerobus_streams,
}
