"""The metrics of transactions: which are open and for how long, how they ended, and where readers
of committed data wait for one.

There is no series for a transactional id. A partition has some only while a transaction is open in
it. What must not enter: counting (`broker.transaction_coordinator`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.broker.transaction_listing import OpenKind, open_transactions
from headrace.doors.http.exposition import family, histograms
from headrace.doors.http.snapshot import Snapshot

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["transaction_families"]


def transaction_families(broker: "Broker", snapshot: Snapshot) -> Iterator[str]:
    yield from _open_families(broker)
    stats = broker.stats.transactions
    yield from family(
        "headrace_transactions_ended_total",
        "counter",
        "Transactions that ended, in every partition and group.",
        [({"outcome": "commit"}, stats.committed), ({"outcome": "abort"}, stats.aborted)],
    )
    yield from histograms(
        "headrace_transaction_duration_seconds",
        "From a transaction's first partition or group until all of them knew of its end.",
        [({}, stats.duration)],
    )
    for name, text, value in (
        (
            "headrace_transaction_timeouts_total",
            "Transactions aborted because they took longer than their producer said they may.",
            stats.timeouts,
        ),
        (
            "headrace_transaction_fenced_requests_total",
            "Requests refused because the transactional id has a newer producer.",
            stats.fenced,
        ),
        (
            "headrace_transaction_end_retries_total",
            "Ends that a partition or group did not take at once; they are tried until it does.",
            stats.end_retries,
        ),
    ):
        yield from family(name, "counter", text, [({}, value)])
    yield from _stable_families(snapshot)


def _open_families(broker: "Broker") -> Iterator[str]:
    kinds = open_transactions(broker)
    yield from family(
        "headrace_transactions_open",
        "gauge",
        "Transactions that have begun and not ended: ongoing; two_phase, those without a timeout; "
        "ending, those that are decided and not yet told everywhere.",
        [({"state": kind.value}, kinds[kind].transactions) for kind in OpenKind],
    )
    yield from family(
        "headrace_transaction_oldest_age_seconds",
        "gauge",
        "How long the oldest of them has been open; 0 with none.",
        [({"state": kind.value}, kinds[kind].oldest_age_ms / 1000) for kind in OpenKind],
    )


def _stable_families(snapshot: Snapshot) -> Iterator[str]:
    held_up = [
        ({"topic": part.topic, "partition": part.partition}, part)
        for part in snapshot.partitions
        if part.last_stable < part.high_watermark
    ]
    yield from family(
        "headrace_log_last_stable_offset",
        "gauge",
        "Where readers of committed data wait for a transaction; only while they do.",
        ((labels, part.last_stable) for labels, part in held_up),
    )
    yield from family(
        "headrace_log_last_stable_offset_lag",
        "gauge",
        "How many offsets that is behind the high watermark; only while it is.",
        ((labels, part.high_watermark - part.last_stable) for labels, part in held_up),
    )
