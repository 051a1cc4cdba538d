"""ShareFetch (key 78): records for one member of a share group, and its acknowledgements (KIP-932).

`share_session_epoch` is 0 to open a session, -1 to close it, and else counts the requests. Version
2 adds how many records may be acquired (KIP-1206) and the renewal of locks (KIP-1222); version 0
was an early access and is gone.

`records` are record batches v2. They are never null: librdkafka gives up a fetch whose records
have length -1, so none is an empty string of bytes.
"""

from enum import IntEnum
from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import (
    array,
    blob,
    boolean,
    int8,
    int16,
    int32,
    int64,
    message,
    nested,
    string,
    struct,
    uuid,
)

__all__ = [
    "AcknowledgeType",
    "AcknowledgementBatch",
    "AcquireMode",
    "AcquiredRecords",
    "ShareFetchForgottenTopic",
    "ShareFetchPartition",
    "ShareFetchRequest",
    "ShareFetchResponse",
    "ShareFetchResponsePartition",
    "ShareFetchResponseTopic",
    "ShareFetchTopic",
    "ShareLeaderIdAndEpoch",
    "ShareNodeEndpoint",
]


class AcknowledgeType(IntEnum):
    """What a member did with a record; a gap is an offset that holds none."""

    GAP = 0
    ACCEPT = 1
    RELEASE = 2
    REJECT = 3
    RENEW = 4


class AcquireMode(IntEnum):
    """Whether whole batches may exceed `max_records`, or not by a single record."""

    BATCH_OPTIMIZED = 0
    RECORD_LIMIT = 1


@struct
class AcknowledgementBatch:
    """`acknowledge_types`: one for each offset, or a single one for all of them."""

    first_offset: int = int64()
    last_offset: int = int64()
    acknowledge_types: list[int] = array(int8)


@struct
class ShareFetchPartition:
    partition_index: int = int32()
    acknowledgement_batches: list[AcknowledgementBatch] = array(AcknowledgementBatch)


@struct
class ShareFetchTopic:
    topic_id: UUID | None = uuid()
    partitions: list[ShareFetchPartition] = array(ShareFetchPartition)


@struct
class ShareFetchForgottenTopic:
    topic_id: UUID | None = uuid()
    partitions: list[int] = array(int32)


@message(ApiKey.SHARE_FETCH, versions=(1, 2))
class ShareFetchRequest:
    group_id: str | None = string(nullable=0, default=None)
    member_id: str | None = string(nullable=0)
    share_session_epoch: int = int32()
    max_wait_ms: int = int32()
    min_bytes: int = int32()
    max_bytes: int = int32(default=0x7FFFFFFF)
    max_records: int = int32()
    batch_size: int = int32()
    share_acquire_mode: int = int8(
        since=2, default=AcquireMode.BATCH_OPTIMIZED.value, ignorable=True
    )
    is_renew_ack: bool = boolean(since=2)
    topics: list[ShareFetchTopic] = array(ShareFetchTopic)
    forgotten_topics_data: list[ShareFetchForgottenTopic] = array(ShareFetchForgottenTopic)


@struct
class ShareLeaderIdAndEpoch:
    leader_id: int = int32()
    leader_epoch: int = int32()


@struct
class ShareNodeEndpoint:
    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(nullable=0, default=None)


@struct
class AcquiredRecords:
    """Offsets, both inclusive, locked for the member; the delivery count includes this one."""

    first_offset: int = int64()
    last_offset: int = int64()
    delivery_count: int = int16()


@struct
class ShareFetchResponsePartition:
    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    acknowledge_error_code: int = int16()
    acknowledge_error_message: str | None = string(nullable=0, default=None)
    current_leader: ShareLeaderIdAndEpoch = nested(ShareLeaderIdAndEpoch)
    records: bytes | memoryview = blob()
    acquired_records: list[AcquiredRecords] = array(AcquiredRecords)


@struct
class ShareFetchResponseTopic:
    topic_id: UUID | None = uuid()
    partitions: list[ShareFetchResponsePartition] = array(ShareFetchResponsePartition)


@message(ApiKey.SHARE_FETCH, versions=(1, 2))
class ShareFetchResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    acquisition_lock_timeout_ms: int = int32()
    responses: list[ShareFetchResponseTopic] = array(ShareFetchResponseTopic)
    node_endpoints: list[ShareNodeEndpoint] = array(ShareNodeEndpoint)
