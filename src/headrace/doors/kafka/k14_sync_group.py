"""SyncGroup (key 14), versions 0-5.

- answered when the leader has handed in the assignment; whom it forgot gets none. In a
  next-generation group at once, with what the broker assigned
- v3 static members; v5 protocol type and name are checked if given, and returned
"""

from headrace.broker.group_requests import Sync
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k14_sync_group import SyncGroupRequest, SyncGroupResponse


async def handle(context: RequestContext, request: SyncGroupRequest) -> SyncGroupResponse:
    sync = Sync(
        member_id=request.member_id,
        generation=request.generation_id,
        assignments=tuple(
            (assigned.member_id, assigned.assignment) for assigned in request.assignments
        ),
        instance_id=request.group_instance_id,
        protocol_type=request.protocol_type,
        protocol=request.protocol_name,
    )
    try:
        answer = await context.broker.groups.sync(request.group_id, sync)
    except RequestError as error:
        return SyncGroupResponse(error_code=error.code)
    return SyncGroupResponse(
        error_code=answer.error,
        protocol_type=answer.protocol_type,
        protocol_name=answer.protocol,
        assignment=answer.assignment,
    )


API = Api(
    ApiKey.SYNC_GROUP,
    versions=(0, 5),
    request=SyncGroupRequest,
    handle=handle,
)
