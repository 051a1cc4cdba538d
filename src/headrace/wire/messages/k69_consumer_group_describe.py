"""ConsumerGroupDescribe (key 69): a next-generation group with what each member has and shall have.

`member_type` (version 1) is 0 for a member of the classic protocol in such a group, 1 for others.
"""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.messages.k03_metadata import OPERATIONS_NOT_ASKED
from headrace.wire.schema import (
    array,
    boolean,
    int8,
    int16,
    int32,
    message,
    nested,
    string,
    struct,
    uuid,
)

__all__ = [
    "ConsumerGroupDescribeAssignment",
    "ConsumerGroupDescribeMember",
    "ConsumerGroupDescribeRequest",
    "ConsumerGroupDescribeResponse",
    "ConsumerGroupDescribeTopicPartitions",
    "ConsumerGroupDescribedGroup",
]


@message(ApiKey.CONSUMER_GROUP_DESCRIBE, versions=(0, 1))
class ConsumerGroupDescribeRequest:
    group_ids: list[str] = array(string)
    include_authorized_operations: bool = boolean()


@struct
class ConsumerGroupDescribeTopicPartitions:
    topic_id: UUID | None = uuid()
    topic_name: str = string()
    partitions: list[int] = array(int32)


@struct
class ConsumerGroupDescribeAssignment:
    topic_partitions: list[ConsumerGroupDescribeTopicPartitions] = array(
        ConsumerGroupDescribeTopicPartitions
    )


@struct
class ConsumerGroupDescribeMember:
    member_id: str = string()
    instance_id: str | None = string(nullable=0, default=None)
    rack_id: str | None = string(nullable=0, default=None)
    member_epoch: int = int32()
    client_id: str = string()
    client_host: str = string()
    subscribed_topic_names: list[str] = array(string)
    subscribed_topic_regex: str | None = string(nullable=0, default=None)
    assignment: ConsumerGroupDescribeAssignment = nested(ConsumerGroupDescribeAssignment)
    target_assignment: ConsumerGroupDescribeAssignment = nested(ConsumerGroupDescribeAssignment)
    member_type: int = int8(since=1, default=-1, ignorable=True)


@struct
class ConsumerGroupDescribedGroup:
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    group_id: str = string()
    group_state: str = string()
    group_epoch: int = int32()
    assignment_epoch: int = int32()
    assignor_name: str = string()
    members: list[ConsumerGroupDescribeMember] = array(ConsumerGroupDescribeMember)
    authorized_operations: int = int32(default=OPERATIONS_NOT_ASKED)


@message(ApiKey.CONSUMER_GROUP_DESCRIBE, versions=(0, 1))
class ConsumerGroupDescribeResponse:
    throttle_time_ms: int = int32()
    groups: list[ConsumerGroupDescribedGroup] = array(ConsumerGroupDescribedGroup)
