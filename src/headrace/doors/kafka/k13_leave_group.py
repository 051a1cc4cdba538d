"""LeaveGroup (key 13), versions 0-5.

- v3 many members at once, each with its own error; a static one may be named by instance id alone
"""

from headrace.broker.group_requests import Leave, Leaving
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k13_leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    LeaveGroupResponseMember,
)


async def handle(context: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse:
    leaving = tuple(
        Leaving(member.member_id, member.group_instance_id) for member in request.members
    )
    if context.api_version < 3:
        leaving = (Leaving(request.member_id, None),)
    try:
        answer = await context.broker.groups.leave(request.group_id, Leave(leaving))
    except RequestError as error:
        return LeaveGroupResponse(error_code=error.code)
    if context.api_version < 3:
        return LeaveGroupResponse(error_code=answer.errors[0])
    return LeaveGroupResponse(
        members=[
            LeaveGroupResponseMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                error_code=error_code,
            )
            for member, error_code in zip(leaving, answer.errors, strict=True)
        ]
    )


API = Api(
    ApiKey.LEAVE_GROUP,
    versions=(0, 5),
    request=LeaveGroupRequest,
    handle=handle,
)
