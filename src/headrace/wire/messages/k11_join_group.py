"""JoinGroup (key 11): a member of a classic group offers its protocols and waits for the round.

The leader alone is told of every member and decides who reads what. Static members carry a
`group_instance_id` (version 5, KIP-345); the broker may hand out a member id first and ask the
client to come back with it (version 4, KIP-394).
"""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, blob, boolean, int16, int32, message, string, struct

__all__ = [
    "JoinGroupRequest",
    "JoinGroupRequestProtocol",
    "JoinGroupResponse",
    "JoinGroupResponseMember",
]


@struct
class JoinGroupRequestProtocol:
    """An assignor that the member knows, and what it wants its leader to know about itself."""

    name: str = string()
    metadata: bytes = blob()


@message(ApiKey.JOIN_GROUP, versions=(0, 9))
class JoinGroupRequest:
    group_id: str = string()
    session_timeout_ms: int = int32()
    rebalance_timeout_ms: int = int32(since=1, default=-1, ignorable=True)
    member_id: str = string()
    group_instance_id: str | None = string(since=5, nullable=5, default=None)
    protocol_type: str = string()
    protocols: list[JoinGroupRequestProtocol] = array(JoinGroupRequestProtocol)
    reason: str | None = string(since=8, nullable=8, default=None, ignorable=True)


@struct
class JoinGroupResponseMember:
    member_id: str = string()
    group_instance_id: str | None = string(since=5, nullable=5, default=None, ignorable=True)
    metadata: bytes = blob()


@message(ApiKey.JOIN_GROUP, versions=(0, 9))
class JoinGroupResponse:
    throttle_time_ms: int = int32(since=2, ignorable=True)
    error_code: int = int16()
    generation_id: int = int32(default=-1)
    protocol_type: str | None = string(since=7, nullable=7, default=None, ignorable=True)
    protocol_name: str | None = string(nullable=7)
    leader: str = string()
    skip_assignment: bool = boolean(since=9)
    member_id: str = string()
    members: list[JoinGroupResponseMember] = array(JoinGroupResponseMember)
