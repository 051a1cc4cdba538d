"""Metadata (key 3): the brokers, the topics and who leads each partition.

Topics are asked for by name, or by id from version 10 on (KIP-516). `topics=None` asks for all;
version 0 has no null there and its empty list means all.
"""

from typing import Final
from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, boolean, int16, int32, message, string, struct, uuid

__all__ = [
    "OPERATIONS_NOT_ASKED",
    "MetadataRequest",
    "MetadataRequestTopic",
    "MetadataResponse",
    "MetadataResponseBroker",
    "MetadataResponsePartition",
    "MetadataResponseTopic",
]

OPERATIONS_NOT_ASKED: Final = -(1 << 31)
"""Instead of a bit field of ACL operations: the client did not ask for it (KIP-430)."""


@struct
class MetadataRequestTopic:
    topic_id: UUID | None = uuid(since=10, ignorable=True)
    name: str | None = string(nullable=10)


@message(ApiKey.METADATA, versions=(0, 13))
class MetadataRequest:
    topics: list[MetadataRequestTopic] | None = array(MetadataRequestTopic, nullable=1)
    allow_auto_topic_creation: bool = boolean(since=4, default=True)
    include_cluster_authorized_operations: bool = boolean(since=8, until=10)
    include_topic_authorized_operations: bool = boolean(since=8)


@struct
class MetadataResponseBroker:
    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(since=1, nullable=1, default=None, ignorable=True)


@struct
class MetadataResponsePartition:
    error_code: int = int16()
    partition_index: int = int32()
    leader_id: int = int32()
    leader_epoch: int = int32(since=7, default=-1, ignorable=True)
    replica_nodes: list[int] = array(int32)
    isr_nodes: list[int] = array(int32)
    offline_replicas: list[int] = array(int32, since=5, ignorable=True)


@struct
class MetadataResponseTopic:
    error_code: int = int16()
    name: str | None = string(nullable=12)
    topic_id: UUID | None = uuid(since=10, ignorable=True)
    is_internal: bool = boolean(since=1, ignorable=True)
    partitions: list[MetadataResponsePartition] = array(MetadataResponsePartition)
    topic_authorized_operations: int = int32(since=8, default=OPERATIONS_NOT_ASKED, ignorable=True)


@message(ApiKey.METADATA, versions=(0, 13))
class MetadataResponse:
    throttle_time_ms: int = int32(since=3, ignorable=True)
    brokers: list[MetadataResponseBroker] = array(MetadataResponseBroker)
    cluster_id: str | None = string(since=2, nullable=2, default=None, ignorable=True)
    controller_id: int = int32(since=1, default=-1, ignorable=True)
    topics: list[MetadataResponseTopic] = array(MetadataResponseTopic)
    cluster_authorized_operations: int = int32(
        since=8, until=10, default=OPERATIONS_NOT_ASKED, ignorable=True
    )
    error_code: int = int16(since=13, ignorable=True)
