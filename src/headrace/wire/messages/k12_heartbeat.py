"""Heartbeat (key 12): a member of a classic group is alive, and learns when it must rejoin."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import int16, int32, message, string

__all__ = ["HeartbeatRequest", "HeartbeatResponse"]


@message(ApiKey.HEARTBEAT, versions=(0, 4))
class HeartbeatRequest:
    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: str | None = string(since=3, nullable=3, default=None)


@message(ApiKey.HEARTBEAT, versions=(0, 4))
class HeartbeatResponse:
    throttle_time_ms: int = int32(since=1, ignorable=True)
    error_code: int = int16()
