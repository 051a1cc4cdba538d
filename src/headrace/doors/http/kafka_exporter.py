"""The names under which kafka-exporter shows offsets and lag: dashboards and alerts know them.

Source: the metrics table in the README of danielqsj/kafka_exporter. What must not enter: names of
our own.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.doors.http.exposition import family
from headrace.doors.http.snapshot import Snapshot

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["kafka_exporter_families"]


def kafka_exporter_families(broker: "Broker", snapshot: Snapshot) -> Iterator[str]:
    yield from family("kafka_brokers", "gauge", "Brokers in the cluster.", [({}, 1)])
    yield from family(
        "kafka_topic_partitions",
        "gauge",
        "Partitions of the topic.",
        [
            ({"topic": topic.name}, len(topic.partitions))
            for topic in broker.topics.by_name.values()
        ],
    )
    parts = [
        ({"topic": part.topic, "partition": part.partition}, part) for part in snapshot.partitions
    ]
    yield from family(
        "kafka_topic_partition_current_offset",
        "gauge",
        "As headrace_log_high_watermark.",
        ((labels, part.high_watermark) for labels, part in parts),
    )
    yield from family(
        "kafka_topic_partition_oldest_offset",
        "gauge",
        "As headrace_log_start_offset.",
        ((labels, part.start) for labels, part in parts),
    )
    yield from family(
        "kafka_consumergroup_members",
        "gauge",
        "As headrace_group_members.",
        (({"consumergroup": lag.group.group_id}, len(lag.group.members)) for lag in snapshot.lags),
    )
    rows = [
        (
            {
                "consumergroup": lag.group.group_id,
                "topic": part.topic,
                "partition": part.partition,
            },
            part,
        )
        for lag in snapshot.lags
        for part in lag.partitions
    ]
    yield from family(
        "kafka_consumergroup_current_offset",
        "gauge",
        "As headrace_group_committed_offset.",
        ((labels, part.committed) for labels, part in rows),
    )
    yield from family(
        "kafka_consumergroup_lag",
        "gauge",
        "As headrace_group_lag_records.",
        ((labels, part.lag) for labels, part in rows),
    )
