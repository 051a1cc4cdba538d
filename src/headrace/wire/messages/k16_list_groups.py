"""ListGroups (key 16). The filters on states (version 4, KIP-518) and types (version 5, KIP-848)
are empty when everything is wanted."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, message, string, struct

__all__ = ["ListGroupsRequest", "ListGroupsResponse", "ListedGroup"]


@message(ApiKey.LIST_GROUPS, versions=(0, 5))
class ListGroupsRequest:
    states_filter: list[str] = array(string, since=4)
    types_filter: list[str] = array(string, since=5)


@struct
class ListedGroup:
    group_id: str = string()
    protocol_type: str = string()
    group_state: str = string(since=4, ignorable=True)
    group_type: str = string(since=5, ignorable=True)


@message(ApiKey.LIST_GROUPS, versions=(0, 5))
class ListGroupsResponse:
    throttle_time_ms: int = int32(since=1, ignorable=True)
    error_code: int = int16()
    groups: list[ListedGroup] = array(ListedGroup)
