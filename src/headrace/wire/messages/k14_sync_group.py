"""SyncGroup (key 14): the leader hands in everybody's assignment, each member receives its own."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, blob, int16, int32, message, string, struct

__all__ = ["SyncGroupRequest", "SyncGroupRequestAssignment", "SyncGroupResponse"]


@struct
class SyncGroupRequestAssignment:
    member_id: str = string()
    assignment: bytes = blob()


@message(ApiKey.SYNC_GROUP, versions=(0, 5))
class SyncGroupRequest:
    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: str | None = string(since=3, nullable=3, default=None)
    protocol_type: str | None = string(since=5, nullable=5, default=None, ignorable=True)
    protocol_name: str | None = string(since=5, nullable=5, default=None, ignorable=True)
    assignments: list[SyncGroupRequestAssignment] = array(SyncGroupRequestAssignment)


@message(ApiKey.SYNC_GROUP, versions=(0, 5))
class SyncGroupResponse:
    throttle_time_ms: int = int32(since=1, ignorable=True)
    error_code: int = int16()
    protocol_type: str | None = string(since=5, nullable=5, default=None, ignorable=True)
    protocol_name: str | None = string(since=5, nullable=5, default=None, ignorable=True)
    assignment: bytes = blob()
