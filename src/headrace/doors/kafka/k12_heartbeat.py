"""Heartbeat (key 12), versions 0-4.

- REBALANCE_IN_PROGRESS asks the member to join again; v3 static members
"""

from headrace.broker.group_requests import Heartbeat
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k12_heartbeat import HeartbeatRequest, HeartbeatResponse


async def handle(context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse:
    heartbeat = Heartbeat(request.member_id, request.generation_id, request.group_instance_id)
    try:
        answer = await context.broker.groups.heartbeat(request.group_id, heartbeat)
    except RequestError as error:
        return HeartbeatResponse(error_code=error.code)
    return HeartbeatResponse(error_code=answer.error)


API = Api(
    ApiKey.HEARTBEAT,
    versions=(0, 4),
    request=HeartbeatRequest,
    handle=handle,
)
