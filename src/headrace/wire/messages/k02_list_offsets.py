"""ListOffsets (key 2): the first offset at or after a time, or one of the marks in `OffsetMark`."""

from enum import IntEnum

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int8, int16, int32, int64, message, string, struct

__all__ = [
    "ListOffsetsPartition",
    "ListOffsetsPartitionResponse",
    "ListOffsetsRequest",
    "ListOffsetsResponse",
    "ListOffsetsTopic",
    "ListOffsetsTopicResponse",
    "OffsetMark",
]


class OffsetMark(IntEnum):
    """Negative values of `timestamp`: not a time but a place in the log."""

    LATEST = -1
    """The high watermark, or the last stable offset for a reader of committed data only."""
    EARLIEST = -2
    MAX_TIMESTAMP = -3
    """The record with the greatest timestamp (version 7, KIP-734)."""
    EARLIEST_LOCAL = -4
    """Tiered storage: the first offset on local disk (version 8, KIP-405)."""
    LATEST_TIERED = -5
    """The last offset in remote storage (version 9, KIP-1005)."""
    EARLIEST_PENDING_UPLOAD = -6
    """The first offset not yet in remote storage (version 11, KIP-1023)."""


@struct
class ListOffsetsPartition:
    partition_index: int = int32()
    current_leader_epoch: int = int32(since=4, default=-1, ignorable=True)
    timestamp: int = int64()


@struct
class ListOffsetsTopic:
    name: str = string()
    partitions: list[ListOffsetsPartition] = array(ListOffsetsPartition)


@message(ApiKey.LIST_OFFSETS, versions=(1, 11))
class ListOffsetsRequest:
    replica_id: int = int32()
    isolation_level: int = int8(since=2)
    topics: list[ListOffsetsTopic] = array(ListOffsetsTopic)
    timeout_ms: int = int32(since=10, ignorable=True)


@struct
class ListOffsetsPartitionResponse:
    """`offset` and `timestamp` (ms) are -1 when no record fits."""

    partition_index: int = int32()
    error_code: int = int16()
    timestamp: int = int64(default=-1)
    offset: int = int64(default=-1)
    leader_epoch: int = int32(since=4, default=-1, ignorable=True)


@struct
class ListOffsetsTopicResponse:
    name: str = string()
    partitions: list[ListOffsetsPartitionResponse] = array(ListOffsetsPartitionResponse)


@message(ApiKey.LIST_OFFSETS, versions=(1, 11))
class ListOffsetsResponse:
    throttle_time_ms: int = int32(since=2, ignorable=True)
    topics: list[ListOffsetsTopicResponse] = array(ListOffsetsTopicResponse)
