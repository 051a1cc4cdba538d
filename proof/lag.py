"""How far a group is behind, as the broker tells it."""

import sys
from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.testing.raw_client import RawClient
from headrace.wire.messages.k10_find_coordinator import (
    CoordinatorType,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from headrace.wire.messages.k90_describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponse,
)

__all__ = ["committed_lag", "shared_lag"]

ADMIN_S = 10
DESCRIBE_VERSION = 0
COORDINATOR_VERSION = 4


def committed_lag(admin: AdminClient, group: str, topic: str, ends: Mapping[int, int]) -> int:
    """Records after the committed offsets; all of them when the broker does not answer."""
    asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, at) for at in ends])]
    try:
        answer = admin.list_consumer_group_offsets(asked)[group].result(ADMIN_S)
    except KafkaException as error:
        print(f"{group}: {error}", file=sys.stderr)
        return sum(ends.values())
    known = {place.partition: max(place.offset, 0) for place in answer.topic_partitions or ()}
    return _behind(known, ends)


def shared_lag(bootstrap: str, group: str, ends: Mapping[int, int]) -> int:
    """Records from the first on that a share group has neither accepted nor given up."""
    request = DescribeShareGroupOffsetsRequest([DescribeShareGroupOffsetsRequestGroup(group, None)])
    try:
        host, port = _coordinator(bootstrap, group)
        with RawClient(host, port) as client:
            answer = client.ask(request, DescribeShareGroupOffsetsResponse, DESCRIBE_VERSION)
    except OSError as error:
        print(f"{group}: {error}", file=sys.stderr)
        return sum(ends.values())
    known = {
        partition.partition_index: max(partition.start_offset, 0)
        for topic in answer.groups[0].topics
        for partition in topic.partitions
    }
    return _behind(known, ends)


def _coordinator(bootstrap: str, group: str) -> tuple[str, int]:
    """Host and port. Raises OSError."""
    host, _, port = bootstrap.rpartition(":")
    request = FindCoordinatorRequest(coordinator_keys=[group], key_type=CoordinatorType.GROUP)
    with RawClient(host, int(port)) as client:
        answer = client.ask(request, FindCoordinatorResponse, COORDINATOR_VERSION)
    found = answer.coordinators[0]
    return found.host, found.port


def _behind(known: Mapping[int, int], ends: Mapping[int, int]) -> int:
    return sum(max(0, end - known.get(partition, 0)) for partition, end in ends.items())
