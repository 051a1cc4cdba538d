"""ShareGroupDescribe (key 77): a share group and the partitions of each member (KIP-932)."""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.messages.k03_metadata import OPERATIONS_NOT_ASKED
from headrace.wire.schema import array, boolean, int16, int32, message, nested, string, struct, uuid

__all__ = [
    "ShareGroupDescribeAssignment",
    "ShareGroupDescribeMember",
    "ShareGroupDescribeRequest",
    "ShareGroupDescribeResponse",
    "ShareGroupDescribeTopicPartitions",
    "ShareGroupDescribedGroup",
]


@message(ApiKey.SHARE_GROUP_DESCRIBE, versions=(1, 1))
class ShareGroupDescribeRequest:
    group_ids: list[str] = array(string)
    include_authorized_operations: bool = boolean()


@struct
class ShareGroupDescribeTopicPartitions:
    topic_id: UUID | None = uuid()
    topic_name: str = string()
    partitions: list[int] = array(int32)


@struct
class ShareGroupDescribeAssignment:
    topic_partitions: list[ShareGroupDescribeTopicPartitions] = array(
        ShareGroupDescribeTopicPartitions
    )


@struct
class ShareGroupDescribeMember:
    member_id: str = string()
    rack_id: str | None = string(nullable=0, default=None)
    member_epoch: int = int32()
    client_id: str = string()
    client_host: str = string()
    subscribed_topic_names: list[str] = array(string)
    assignment: ShareGroupDescribeAssignment = nested(ShareGroupDescribeAssignment)


@struct
class ShareGroupDescribedGroup:
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    group_id: str = string()
    group_state: str = string()
    group_epoch: int = int32()
    assignment_epoch: int = int32()
    assignor_name: str = string()
    members: list[ShareGroupDescribeMember] = array(ShareGroupDescribeMember)
    authorized_operations: int = int32(default=OPERATIONS_NOT_ASKED)


@message(ApiKey.SHARE_GROUP_DESCRIBE, versions=(1, 1))
class ShareGroupDescribeResponse:
    throttle_time_ms: int = int32()
    groups: list[ShareGroupDescribedGroup] = array(ShareGroupDescribedGroup)
