"""DeleteGroups (key 42): forgets empty groups and their offsets (KIP-229)."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, message, string, struct

__all__ = ["DeletableGroupResult", "DeleteGroupsRequest", "DeleteGroupsResponse"]


@message(ApiKey.DELETE_GROUPS, versions=(0, 2))
class DeleteGroupsRequest:
    groups_names: list[str] = array(string)


@struct
class DeletableGroupResult:
    group_id: str = string()
    error_code: int = int16()


@message(ApiKey.DELETE_GROUPS, versions=(0, 2))
class DeleteGroupsResponse:
    throttle_time_ms: int = int32()
    results: list[DeletableGroupResult] = array(DeletableGroupResult)
