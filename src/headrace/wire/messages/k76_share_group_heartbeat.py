"""ShareGroupHeartbeat (key 76): the one membership request of a share group's member (KIP-932).

`member_epoch` is 0 to join and -1 to leave. A null is what has not changed since the last
heartbeat. Version 0 was an early access and is gone.
"""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, message, nested, string, struct, uuid

__all__ = [
    "ShareGroupHeartbeatAssignment",
    "ShareGroupHeartbeatRequest",
    "ShareGroupHeartbeatResponse",
    "ShareGroupHeartbeatTopicPartitions",
]


@message(ApiKey.SHARE_GROUP_HEARTBEAT, versions=(1, 1))
class ShareGroupHeartbeatRequest:
    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    rack_id: str | None = string(nullable=0, default=None)
    subscribed_topic_names: list[str] | None = array(string, nullable=0, default=None)


@struct
class ShareGroupHeartbeatTopicPartitions:
    topic_id: UUID | None = uuid()
    partitions: list[int] = array(int32)


@struct
class ShareGroupHeartbeatAssignment:
    topic_partitions: list[ShareGroupHeartbeatTopicPartitions] = array(
        ShareGroupHeartbeatTopicPartitions
    )


@message(ApiKey.SHARE_GROUP_HEARTBEAT, versions=(1, 1))
class ShareGroupHeartbeatResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    member_id: str | None = string(nullable=0, default=None)
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    assignment: ShareGroupHeartbeatAssignment | None = nested(
        ShareGroupHeartbeatAssignment, nullable=0
    )
