"""JoinGroup (key 11), versions 0-9.

- answered when the next generation begins: when all members have joined or a timeout is over; at
  once, without a leader, in a next-generation group (see `groups.classic_in_consumer`)
- v1 a rebalance timeout of its own; v4 MEMBER_ID_REQUIRED first; v5 static members
- v7 protocol type and name, null where there are none; v9 a leader may be told not to assign
"""

from headrace.broker.group_requests import Join
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k11_join_group import (
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
)

_NO_PROTOCOL_UNTIL_6 = ""


async def handle(context: RequestContext, request: JoinGroupRequest) -> JoinGroupResponse:
    version = context.api_version
    no_protocol = None if version >= 7 else _NO_PROTOCOL_UNTIL_6
    join = Join(
        member_id=request.member_id,
        protocol_type=request.protocol_type,
        protocols=tuple((protocol.name, protocol.metadata) for protocol in request.protocols),
        session_timeout_ms=request.session_timeout_ms,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        instance_id=request.group_instance_id,
        client_id=context.client_id or "",
        client_host=context.client_host,
        accepts_member_id=version >= 4,
        skips_assignment=version >= 9,
        reason=request.reason or "",
    )
    try:
        answer = await context.broker.groups.join(request.group_id, join)
    except RequestError as error:
        return JoinGroupResponse(
            error_code=error.code, member_id=request.member_id, protocol_name=no_protocol
        )
    return JoinGroupResponse(
        error_code=answer.error,
        generation_id=answer.generation,
        protocol_type=answer.protocol_type,
        protocol_name=no_protocol if answer.protocol is None else answer.protocol,
        leader=answer.leader,
        skip_assignment=answer.skip_assignment,
        member_id=answer.member_id,
        members=[
            JoinGroupResponseMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                metadata=member.metadata,
            )
            for member in answer.members
        ],
    )


API = Api(
    ApiKey.JOIN_GROUP,
    versions=(0, 9),
    request=JoinGroupRequest,
    handle=handle,
)
