"""The metrics of ingest streams. Labels are topics and what was decided, never a stream."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.doors.http.exposition import family, histograms

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["stream_families"]


def stream_families(broker: "Broker") -> Iterator[str]:
    streams = broker.streams
    flow = streams.flow
    topics = [({"topic": lanes.topic.name}, lanes) for lanes in streams.topics()]
    yield from family(
        "headrace_streams",
        "gauge",
        "Open ingest streams.",
        [(labels, sum(len(lane.streams) for lane in lanes.all())) for labels, lanes in topics],
    )
    yield from family(
        "headrace_stream_active_partitions",
        "gauge",
        "Partitions that new ingest streams are routed to.",
        [(labels, len(lanes.active())) for labels, lanes in topics],
    )
    yield from family(
        "headrace_streams_opened_total",
        "counter",
        "Ingest streams opened, persistent ones created and resumed.",
        [({"how": how}, count) for how, count in sorted(flow.opened.items())],
    )
    yield from family(
        "headrace_streams_refused_total",
        "counter",
        "Ingest streams refused because of headrace.streams.max.",
        [({}, flow.refused)],
    )
    yield from family(
        "headrace_stream_records_total",
        "counter",
        "Records that ingest streams brought.",
        [({}, flow.records)],
    )
    yield from family(
        "headrace_stream_bytes_total",
        "counter",
        "Bytes of record batches that ingest streams brought.",
        [({}, flow.bytes)],
    )
    yield from family(
        "headrace_stream_in_flight_bytes",
        "gauge",
        "Bytes that ingest streams brought and that are not durable yet.",
        [({}, flow.in_flight_bytes)],
    )
    yield from histograms(
        "headrace_stream_ack_duration_seconds",
        "From the append of an ingest stream's batch until it was durable.",
        [({}, flow.ack_latency)],
    )
    yield from family(
        "headrace_stream_decisions_total",
        "counter",
        "Decisions about where ingest streams go.",
        [({"action": action}, count) for action, count in sorted(flow.decisions.items())],
    )
    yield from family(
        "headrace_stream_decision_events_lost_total",
        "counter",
        "Decisions that could not be written to their topic.",
        [({}, flow.events_lost)],
    )
