"""The metrics of compaction: what it did, and how far it is behind where topics are compacted.

What must not enter: counting (`broker.compaction`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.broker.compaction import cleaning_states
from headrace.doors.http.exposition import family

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["compaction_families"]


def compaction_families(broker: "Broker") -> Iterator[str]:
    """Partitions are those of compacted topics whose log can be used."""
    stats = broker.stats.compaction
    for name, text, value in (
        ("headrace_compaction_passes_total", "Compaction passes that ended.", stats.passes),
        (
            "headrace_compaction_failures_total",
            "Compaction passes that failed; the broker's log says why.",
            stats.failures,
        ),
        (
            "headrace_compaction_read_bytes_total",
            "What compaction passes went through.",
            stats.read_bytes,
        ),
        (
            "headrace_compaction_freed_bytes_total",
            "What compaction passes removed.",
            stats.freed_bytes,
        ),
        ("headrace_compaction_seconds_total", "What compaction passes took.", stats.seconds),
    ):
        yield from family(name, "counter", text, [({}, value)])
    yield from family(
        "headrace_compaction_last_run_timestamp_seconds",
        "gauge",
        "When the last compaction pass ended or failed; 0 before the first.",
        [({}, stats.last_ended_s)],
    )
    states = [
        ({"topic": partition.topic.name, "partition": partition.index}, state)
        for partition, state in cleaning_states(broker.topics, broker.now_ms())
    ]
    yield from family(
        "headrace_log_dirty_ratio",
        "gauge",
        "Part of what may be compacted that never was.",
        ((labels, state.dirty_ratio) for labels, state in states),
    )
    yield from family(
        "headrace_log_dirty_bytes",
        "gauge",
        "The same in bytes.",
        ((labels, state.dirty_bytes) for labels, state in states),
    )
    yield from family(
        "headrace_log_compaction_stopped",
        "gauge",
        "1 where damage was met: the log is left alone until the broker starts anew.",
        ((labels, int(state.failure is not None)) for labels, state in states),
    )
