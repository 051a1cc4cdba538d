"""FindCoordinator (key 10): which broker keeps a group or a transactional id.

One key each request up to version 3, many from version 4 on (KIP-699).
"""

from enum import IntEnum

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int8, int16, int32, message, string, struct

__all__ = [
    "CoordinatorType",
    "FindCoordinatorRequest",
    "FindCoordinatorResponse",
    "FindCoordinatorResponseCoordinator",
]


class CoordinatorType(IntEnum):
    """Values of `key_type`. Share keys name a group, a topic id and a partition (version 6)."""

    GROUP = 0
    TRANSACTION = 1
    SHARE = 2


@message(ApiKey.FIND_COORDINATOR, versions=(0, 6))
class FindCoordinatorRequest:
    key: str = string(until=3)
    key_type: int = int8(since=1)
    coordinator_keys: list[str] = array(string, since=4)


@struct
class FindCoordinatorResponseCoordinator:
    key: str = string()
    node_id: int = int32()
    host: str = string()
    port: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=4, ignorable=True)


@message(ApiKey.FIND_COORDINATOR, versions=(0, 6))
class FindCoordinatorResponse:
    throttle_time_ms: int = int32(since=1, ignorable=True)
    error_code: int = int16(until=3)
    error_message: str | None = string(since=1, until=3, nullable=1, ignorable=True)
    node_id: int = int32(until=3)
    host: str = string(until=3)
    port: int = int32(until=3)
    coordinators: list[FindCoordinatorResponseCoordinator] = array(
        FindCoordinatorResponseCoordinator, since=4
    )
