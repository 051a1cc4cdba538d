"""ConsumerGroupHeartbeat (key 68): the one request of a next-generation member (KIP-848).

`member_epoch` is 0 to join, -1 to leave, -2 to leave for a while as a static member. A null is what
has not changed since the last heartbeat. Regular expressions, and ids that members make
themselves, came with version 1.
"""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, message, nested, string, struct, uuid

__all__ = [
    "ConsumerGroupHeartbeatAssignment",
    "ConsumerGroupHeartbeatRequest",
    "ConsumerGroupHeartbeatResponse",
    "ConsumerGroupHeartbeatTopicPartitions",
]


@struct
class ConsumerGroupHeartbeatTopicPartitions:
    topic_id: UUID | None = uuid()
    partitions: list[int] = array(int32)


@message(ApiKey.CONSUMER_GROUP_HEARTBEAT, versions=(0, 1))
class ConsumerGroupHeartbeatRequest:
    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    instance_id: str | None = string(nullable=0, default=None)
    rack_id: str | None = string(nullable=0, default=None)
    rebalance_timeout_ms: int = int32(default=-1)
    subscribed_topic_names: list[str] | None = array(string, nullable=0, default=None)
    subscribed_topic_regex: str | None = string(since=1, nullable=1, default=None)
    server_assignor: str | None = string(nullable=0, default=None)
    topic_partitions: list[ConsumerGroupHeartbeatTopicPartitions] | None = array(
        ConsumerGroupHeartbeatTopicPartitions, nullable=0, default=None
    )


@struct
class ConsumerGroupHeartbeatAssignment:
    topic_partitions: list[ConsumerGroupHeartbeatTopicPartitions] = array(
        ConsumerGroupHeartbeatTopicPartitions
    )


@message(ApiKey.CONSUMER_GROUP_HEARTBEAT, versions=(0, 1))
class ConsumerGroupHeartbeatResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    member_id: str | None = string(nullable=0, default=None)
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    assignment: ConsumerGroupHeartbeatAssignment | None = nested(
        ConsumerGroupHeartbeatAssignment, nullable=0
    )
