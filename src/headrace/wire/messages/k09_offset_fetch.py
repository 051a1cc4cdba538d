"""OffsetFetch (key 9): where a group left off.

One group up to version 7 (`group_id`, `topics`), many from version 8 on (`groups`; KIP-709), with
member id and epoch from version 9 on (KIP-848). `topics=None` asks for every topic with a commit.
Topics go by name up to version 9, by id from version 10 on.
"""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, boolean, int16, int32, int64, message, string, struct, uuid

__all__ = [
    "OffsetFetchRequest",
    "OffsetFetchRequestGroup",
    "OffsetFetchRequestTopic",
    "OffsetFetchRequestTopics",
    "OffsetFetchResponse",
    "OffsetFetchResponseGroup",
    "OffsetFetchResponsePartition",
    "OffsetFetchResponsePartitions",
    "OffsetFetchResponseTopic",
    "OffsetFetchResponseTopics",
]


@struct
class OffsetFetchRequestTopic:
    """Of the single group, up to version 7."""

    name: str = string()
    partition_indexes: list[int] = array(int32)


@struct
class OffsetFetchRequestTopics:
    """Of one of many groups, from version 8 on."""

    topic_id: UUID | None = uuid(since=10, ignorable=True)
    name: str = string(until=9, ignorable=True)
    partition_indexes: list[int] = array(int32)


@struct
class OffsetFetchRequestGroup:
    group_id: str = string()
    member_id: str | None = string(since=9, nullable=9, default=None, ignorable=True)
    member_epoch: int = int32(since=9, default=-1, ignorable=True)
    topics: list[OffsetFetchRequestTopics] | None = array(OffsetFetchRequestTopics, nullable=8)


@message(ApiKey.OFFSET_FETCH, versions=(1, 10))
class OffsetFetchRequest:
    group_id: str = string(until=7)
    topics: list[OffsetFetchRequestTopic] | None = array(
        OffsetFetchRequestTopic, until=7, nullable=2
    )
    groups: list[OffsetFetchRequestGroup] = array(OffsetFetchRequestGroup, since=8)
    require_stable: bool = boolean(since=7)


@struct
class OffsetFetchResponsePartition:
    """Of the single group, up to version 7."""

    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32(since=5, default=-1, ignorable=True)
    metadata: str | None = string(nullable=0)
    error_code: int = int16()


@struct
class OffsetFetchResponseTopic:
    """Of the single group, up to version 7."""

    name: str = string()
    partitions: list[OffsetFetchResponsePartition] = array(OffsetFetchResponsePartition)


@struct
class OffsetFetchResponsePartitions:
    """Of one of many groups, from version 8 on."""

    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32(default=-1, ignorable=True)
    metadata: str | None = string(nullable=8)
    error_code: int = int16()


@struct
class OffsetFetchResponseTopics:
    """Of one of many groups, from version 8 on."""

    topic_id: UUID | None = uuid(since=10, ignorable=True)
    name: str = string(until=9, ignorable=True)
    partitions: list[OffsetFetchResponsePartitions] = array(OffsetFetchResponsePartitions)


@struct
class OffsetFetchResponseGroup:
    group_id: str = string()
    topics: list[OffsetFetchResponseTopics] = array(OffsetFetchResponseTopics)
    error_code: int = int16()


@message(ApiKey.OFFSET_FETCH, versions=(1, 10))
class OffsetFetchResponse:
    throttle_time_ms: int = int32(since=3, ignorable=True)
    topics: list[OffsetFetchResponseTopic] = array(OffsetFetchResponseTopic, until=7)
    error_code: int = int16(since=2, until=7, ignorable=True)
    groups: list[OffsetFetchResponseGroup] = array(OffsetFetchResponseGroup, since=8)
