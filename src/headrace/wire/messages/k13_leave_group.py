"""LeaveGroup (key 13): members go at once instead of timing out.

One member up to version 2; from version 3 on many at a time, static ones by their instance id
(KIP-345), with a reason from version 5 on (KIP-800).
"""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, message, string, struct

__all__ = [
    "LeaveGroupRequest",
    "LeaveGroupRequestMember",
    "LeaveGroupResponse",
    "LeaveGroupResponseMember",
]


@struct
class LeaveGroupRequestMember:
    member_id: str = string()
    group_instance_id: str | None = string(nullable=3, default=None)
    reason: str | None = string(since=5, nullable=5, default=None, ignorable=True)


@message(ApiKey.LEAVE_GROUP, versions=(0, 5))
class LeaveGroupRequest:
    group_id: str = string()
    member_id: str = string(until=2)
    members: list[LeaveGroupRequestMember] = array(LeaveGroupRequestMember, since=3)


@struct
class LeaveGroupResponseMember:
    member_id: str = string()
    group_instance_id: str | None = string(nullable=3)
    error_code: int = int16()


@message(ApiKey.LEAVE_GROUP, versions=(0, 5))
class LeaveGroupResponse:
    throttle_time_ms: int = int32(since=1, ignorable=True)
    error_code: int = int16()
    members: list[LeaveGroupResponseMember] = array(LeaveGroupResponseMember, since=3)
