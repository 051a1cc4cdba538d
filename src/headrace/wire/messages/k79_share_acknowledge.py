"""ShareAcknowledge (key 79): what a member of a share group did with its records (KIP-932).

Acknowledgements travel with ShareFetch as a rule; this request is for when nothing is fetched.
Version 2 adds the renewal of locks (KIP-1222); version 0 was an early access and is gone.
"""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.messages.k78_share_fetch import (
    AcknowledgementBatch,
    ShareLeaderIdAndEpoch,
    ShareNodeEndpoint,
)
from headrace.wire.schema import array, boolean, int16, int32, message, nested, string, struct, uuid

__all__ = [
    "ShareAcknowledgePartition",
    "ShareAcknowledgeRequest",
    "ShareAcknowledgeResponse",
    "ShareAcknowledgeResponsePartition",
    "ShareAcknowledgeResponseTopic",
    "ShareAcknowledgeTopic",
]


@struct
class ShareAcknowledgePartition:
    partition_index: int = int32()
    acknowledgement_batches: list[AcknowledgementBatch] = array(AcknowledgementBatch)


@struct
class ShareAcknowledgeTopic:
    topic_id: UUID | None = uuid()
    partitions: list[ShareAcknowledgePartition] = array(ShareAcknowledgePartition)


@message(ApiKey.SHARE_ACKNOWLEDGE, versions=(1, 2))
class ShareAcknowledgeRequest:
    group_id: str | None = string(nullable=0, default=None)
    member_id: str | None = string(nullable=0)
    share_session_epoch: int = int32()
    is_renew_ack: bool = boolean(since=2)
    topics: list[ShareAcknowledgeTopic] = array(ShareAcknowledgeTopic)


@struct
class ShareAcknowledgeResponsePartition:
    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    current_leader: ShareLeaderIdAndEpoch = nested(ShareLeaderIdAndEpoch)


@struct
class ShareAcknowledgeResponseTopic:
    topic_id: UUID | None = uuid()
    partitions: list[ShareAcknowledgeResponsePartition] = array(ShareAcknowledgeResponsePartition)


@message(ApiKey.SHARE_ACKNOWLEDGE, versions=(1, 2))
class ShareAcknowledgeResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    acquisition_lock_timeout_ms: int = int32(since=2, ignorable=True)
    responses: list[ShareAcknowledgeResponseTopic] = array(ShareAcknowledgeResponseTopic)
    node_endpoints: list[ShareNodeEndpoint] = array(ShareNodeEndpoint)
