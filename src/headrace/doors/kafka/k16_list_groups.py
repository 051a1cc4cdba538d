"""ListGroups (key 16), versions 0-5.

- groups that only ever committed offsets are listed too, with an empty protocol type
- v4 a filter on states, v5 on types; names are compared without regard to case, and one that
  nothing is called simply matches nothing
"""

from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.messages.k16_list_groups import (
    ListedGroup,
    ListGroupsRequest,
    ListGroupsResponse,
)


async def handle(context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse:
    states = {name.lower() for name in request.states_filter}
    types = {name.lower() for name in request.types_filter}
    return ListGroupsResponse(
        groups=[
            ListedGroup(
                group_id=group.group_id,
                protocol_type=group.protocol_type,
                group_state=group.state.value,
                group_type=group.type.value,
            )
            for group in context.broker.groups.list()
            if (not states or group.state.value.lower() in states)
            and (not types or group.type.value in types)
        ]
    )


API = Api(
    ApiKey.LIST_GROUPS,
    versions=(0, 5),
    request=ListGroupsRequest,
    handle=handle,
)
