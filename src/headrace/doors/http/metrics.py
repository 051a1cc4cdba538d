"""`/metrics`: every number this broker shows, under its name.

Own names begin with `headrace_` and end in base units; what kafka-exporter calls by other names
is there under those too (`kafka_exporter`), since alerts everywhere use them. Labels are topics,
partitions (of offsets, sizes and lag only), groups and APIs, never clients.

Writing the text is spread over turns of the loop, so that a broker with many partitions goes on
serving while it is scraped. What must not enter: counting (`broker.stats`), the text's syntax
(`exposition`).
"""

import asyncio
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import headrace
from headrace.broker.stats import Stats
from headrace.doors.http.compaction_metrics import compaction_families
from headrace.doors.http.exposition import CONTENT_TYPE, family, histograms
from headrace.doors.http.group_metrics import group_families
from headrace.doors.http.grpc_metrics import grpc_families
from headrace.doors.http.kafka_exporter import kafka_exporter_families
from headrace.doors.http.process_metrics import process_families
from headrace.doors.http.share_metrics import share_families
from headrace.doors.http.snapshot import Snapshot, take_snapshot
from headrace.doors.http.stream_metrics import stream_families
from headrace.doors.http.transaction_metrics import transaction_families
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["CONTENT_TYPE", "render"]

LINES_PER_TURN_MAX: Final = 500
"""Lines written before the event loop gets its turn."""


async def render(broker: "Broker") -> bytes:
    """The whole text."""
    snapshot = await take_snapshot(broker)
    families = itertools.chain(
        _broker_families(broker, snapshot),
        _request_families(broker.stats),
        _disk_families(broker.stats, snapshot),
        _topic_families(broker),
        _partition_families(snapshot),
        compaction_families(broker),
        group_families(broker, snapshot),
        share_families(broker),
        transaction_families(broker, snapshot),
        grpc_families(broker.stats.grpc),
        stream_families(broker),
        kafka_exporter_families(broker, snapshot),
        process_families(),
    )
    lines: list[str] = []
    for line in families:
        lines.append(line)
        if len(lines) % LINES_PER_TURN_MAX == 0:
            await asyncio.sleep(0)
    return "".join(lines).encode()


def _broker_families(broker: "Broker", snapshot: Snapshot) -> Iterator[str]:
    stats = broker.stats
    info = {
        "version": headrace.__version__,
        "cluster_id": broker.cluster_id,
        "node_id": broker.node_id,
        "durability": broker.durability,
    }
    yield from family("headrace_info", "gauge", "What this broker is; always 1.", [(info, 1)])
    yield from family("headrace_topics", "gauge", "Topics.", [({}, len(broker.topics.by_name))])
    yield from family(
        "headrace_partitions",
        "gauge",
        "Partitions, offline ones included.",
        [({}, len(snapshot.partitions) + snapshot.offline)],
    )
    yield from family(
        "headrace_offline_partitions",
        "gauge",
        "Partitions whose log cannot be used; their data is refused, see the broker's log.",
        [({}, snapshot.offline)],
    )
    yield from family(
        "headrace_dirty_partitions",
        "gauge",
        "Partitions with records that are written and not yet durable.",
        [({}, sum(part.end > part.high_watermark for part in snapshot.partitions))],
    )
    yield from family(
        "headrace_connections", "gauge", "Open Kafka connections.", [({}, stats.connections)]
    )
    yield from family(
        "headrace_connections_accepted_total",
        "counter",
        "Kafka connections accepted.",
        [({}, stats.connections_accepted)],
    )
    yield from family(
        "headrace_connections_refused_total",
        "counter",
        "Kafka connections refused because of max.connections.",
        [({}, stats.connections_refused)],
    )


def _request_families(stats: Stats) -> Iterator[str]:
    seen = [
        ({"api": ApiKey(key).name.lower()}, latency)
        for key, latency in enumerate(stats.latencies)
        if latency is not None
    ]
    yield from family(
        "headrace_requests_total",
        "counter",
        "Requests answered.",
        [(labels, sum(latency.counts)) for labels, latency in seen],
    )
    yield from histograms(
        "headrace_request_duration_seconds",
        "From a request's arrival to its answer; fetch and the group APIs include their waiting.",
        seen,
    )
    yield from family(
        "headrace_request_errors_total",
        "counter",
        "Error codes in answers.",
        [
            ({"api": ApiKey(key).name.lower(), "error": _error_name(code)}, count)
            for (key, code), count in sorted(stats.errors.items())
        ],
    )
    yield from family(
        "headrace_malformed_requests_total",
        "counter",
        "Requests that could not be read; each closed its connection.",
        [({}, stats.malformed_requests)],
    )
    yield from histograms(
        "headrace_fetch_response_bytes",
        "Records in fetch answers that hold any.",
        [({}, stats.fetch_bytes)],
    )


def _error_name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)


def _disk_families(stats: Stats, snapshot: Snapshot) -> Iterator[str]:
    yield from histograms(
        "headrace_log_sync_duration_seconds",
        "What a round of group commit (fsync) took.",
        [({}, stats.sync_latency)],
    )
    yield from histograms(
        "headrace_high_watermark_delay_seconds",
        "From the first append that a sync was for until it could be read.",
        [({}, stats.high_watermark_delay)],
    )
    yield from family(
        "headrace_log_sync_failures_total",
        "counter",
        "Partitions that went offline because a sync failed.",
        [({}, stats.syncs_failed)],
    )
    yield from histograms(
        "headrace_catalog_commit_duration_seconds",
        "What a durable commit of the catalog took; many changes share one.",
        [({}, stats.catalog_latency)],
    )
    yield from family(
        "headrace_catalog_changes_total",
        "counter",
        "Changes handed to the catalog: topics, configurations, groups, committed offsets.",
        [({}, stats.catalog_changes)],
    )
    yield from family(
        "headrace_catalog_commit_failures_total",
        "counter",
        "Commits of the catalog that failed.",
        [({}, stats.catalog_failures)],
    )
    yield from family(
        "headrace_volume_size_bytes",
        "gauge",
        "Size of the volume that the data directory is on.",
        [({}, snapshot.volume_bytes)],
    )
    yield from family(
        "headrace_volume_free_bytes",
        "gauge",
        "What that volume has left.",
        [({}, snapshot.free_bytes)],
    )


def _topic_families(broker: "Broker") -> Iterator[str]:
    traffic = [({"topic": topic.name}, topic.traffic) for topic in broker.topics.by_name.values()]
    yield from family(
        "headrace_topic_produced_bytes_total",
        "counter",
        "Record batches taken from producers, as they lie on the disk.",
        [({"topic": topic.name}, topic.produced_bytes) for topic in broker.topics.by_name.values()],
    )
    yield from family(
        "headrace_topic_produced_batches_total",
        "counter",
        "The same in batches.",
        [(labels, counts.produced_batches) for labels, counts in traffic],
    )
    yield from family(
        "headrace_topic_fetched_bytes_total",
        "counter",
        "Record batches put into fetch answers.",
        [(labels, counts.fetched_bytes) for labels, counts in traffic],
    )


def _partition_families(snapshot: Snapshot) -> Iterator[str]:
    parts = [
        ({"topic": part.topic, "partition": part.partition}, part) for part in snapshot.partitions
    ]
    yield from family(
        "headrace_log_start_offset",
        "gauge",
        "Offset of the oldest record kept.",
        ((labels, part.start) for labels, part in parts),
    )
    yield from family(
        "headrace_log_high_watermark",
        "gauge",
        "Offset up to which records can be read: the next one after the last durable one.",
        ((labels, part.high_watermark) for labels, part in parts),
    )
    yield from family(
        "headrace_log_end_offset",
        "gauge",
        "Offset that the next record gets.",
        ((labels, part.end) for labels, part in parts),
    )
    yield from family(
        "headrace_log_size_bytes",
        "gauge",
        "What the partition's records take on the disk.",
        ((labels, part.size_bytes) for labels, part in parts),
    )
