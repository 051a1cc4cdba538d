"""DescribeGroups (key 15): state and members of classic groups.

A group that does not exist is told apart from a dead one by an error from version 6 on (KIP-1043).
"""

from headrace.wire.apis import ApiKey
from headrace.wire.messages.k03_metadata import OPERATIONS_NOT_ASKED
from headrace.wire.schema import array, blob, boolean, int16, int32, message, string, struct

__all__ = [
    "DescribeGroupsRequest",
    "DescribeGroupsResponse",
    "DescribedGroup",
    "DescribedGroupMember",
]


@message(ApiKey.DESCRIBE_GROUPS, versions=(0, 6))
class DescribeGroupsRequest:
    groups: list[str] = array(string)
    include_authorized_operations: bool = boolean(since=3)


@struct
class DescribedGroupMember:
    member_id: str = string()
    group_instance_id: str | None = string(since=4, nullable=4, default=None, ignorable=True)
    client_id: str = string()
    client_host: str = string()
    member_metadata: bytes = blob()
    member_assignment: bytes = blob()


@struct
class DescribedGroup:
    """`protocol_data` is the name of the assignor that the members agreed on."""

    error_code: int = int16()
    error_message: str | None = string(since=6, nullable=6, default=None, ignorable=True)
    group_id: str = string()
    group_state: str = string()
    protocol_type: str = string()
    protocol_data: str = string()
    members: list[DescribedGroupMember] = array(DescribedGroupMember)
    authorized_operations: int = int32(since=3, default=OPERATIONS_NOT_ASKED, ignorable=True)


@message(ApiKey.DESCRIBE_GROUPS, versions=(0, 6))
class DescribeGroupsResponse:
    throttle_time_ms: int = int32(since=1, ignorable=True)
    groups: list[DescribedGroup] = array(DescribedGroup)
