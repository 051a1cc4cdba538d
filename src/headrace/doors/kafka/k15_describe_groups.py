"""DescribeGroups (key 15), versions 0-6.

- metadata and assignments are shown while the group is stable
- a group that does not exist, or is of the next generation (ConsumerGroupDescribe shows those),
  is shown as Dead; v6 says GROUP_ID_NOT_FOUND too
"""

from functools import partial

from headrace.broker.group_requests import GroupType, State
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.described_groups import described_groups
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k15_describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)


async def handle(context: RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    groups = await described_groups(
        DescribedGroup,
        partial(_fill, context),
        dict.fromkeys(request.groups),
        with_operations=request.include_authorized_operations,
    )
    return DescribeGroupsResponse(groups=groups)


def _fill(context: RequestContext, answer: DescribedGroup) -> None:
    group = context.broker.groups.describe(answer.group_id)
    if group is None or group.type is not GroupType.CLASSIC:
        answer.group_state = State.DEAD.value
        if context.api_version >= 6:
            message = f"there is no classic group {answer.group_id!r}"
            raise RequestError(ErrorCode.GROUP_ID_NOT_FOUND, message)
        return
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


API = Api(
    ApiKey.DESCRIBE_GROUPS,
    versions=(0, 6),
    request=DescribeGroupsRequest,
    handle=handle,
)
