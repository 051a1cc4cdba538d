"""DeleteGroups (key 42), versions 0-2.

- with members: NON_EMPTY_GROUP; unknown: GROUP_ID_NOT_FOUND; each group for itself
- the group's offsets go with it, durably before the answer
"""

from functools import partial

from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k42_delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)


async def handle(context: RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse:
    delete = partial(_delete, context)
    return DeleteGroupsResponse(
        results=await side_by_side(delete, dict.fromkeys(request.groups_names))
    )


async def _delete(context: RequestContext, group_id: str) -> DeletableGroupResult:
    result = DeletableGroupResult(group_id=group_id)
    broker = context.broker
    try:
        is_shared = broker.groups.describe_share(group_id) is not None
        await broker.groups.delete(group_id)
        if is_shared and broker.share_elsewhere is not None:
            await broker.share_elsewhere.forgotten(group_id)
    except RequestError as error:
        result.error_code = error.code
    return result


API = Api(
    ApiKey.DELETE_GROUPS,
    versions=(0, 2),
    request=DeleteGroupsRequest,
    handle=handle,
)
