"""DescribeGroups (key 15), versions 0-6.

- metadata and assignments are shown while the group is stable
- a group that does not exist, or is of the next generation (ConsumerGroupDescribe shows those),
  is shown as Dead; v6 says GROUP_ID_NOT_FOUND too
"""

from functools import partial

from headrace.broker.group_requests import GroupType, State
from headrace.doors.kafka.acl_operations import GROUP_OPERATIONS
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import in_turns
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k15_describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)


async def handle(context: RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    groups = await in_turns(partial(_describe, context), dict.fromkeys(request.groups))
    if request.include_authorized_operations:
        for group in groups:
            if group.error_code == ErrorCode.NONE:
                group.authorized_operations = GROUP_OPERATIONS
    return DescribeGroupsResponse(groups=groups)


def _describe(context: RequestContext, group_id: str) -> DescribedGroup:
    answer = DescribedGroup(group_id=group_id)
    try:
        group = context.broker.groups.describe(group_id)
    except RequestError as error:
        answer.error_code = error.code
        answer.error_message = error.message
        return answer
    if group is None or group.type is not GroupType.CLASSIC:
        answer.group_state = State.DEAD.value
        if context.api_version >= 6:
            answer.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            answer.error_message = f"there is no classic group {group_id!r}"
        return answer
    answer.group_state = group.state.value
    answer.protocol_type = group.protocol_type
    answer.protocol_data = group.protocol
    answer.members = [
        DescribedGroupMember(
            member_id=member.member_id,
            group_instance_id=member.instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            member_metadata=member.metadata,
            member_assignment=member.assignment,
        )
        for member in group.members
    ]
    return answer


API = Api(
    ApiKey.DESCRIBE_GROUPS,
    versions=(0, 6),
    request=DescribeGroupsRequest,
    handle=handle,
)
