"""ShareGroupDescribe (key 77), version 1.

- a group that does not exist, or is of another kind, is GROUP_ID_NOT_FOUND
- topics that have been deleted since are left out
- how far the group is in each partition is DescribeShareGroupOffsets' to tell
"""

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.by_topic import by_topic
from headrace.doors.kafka.described_groups import described_groups
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k77_share_group_describe import (
    ShareGroupDescribeAssignment,
    ShareGroupDescribedGroup,
    ShareGroupDescribeMember,
    ShareGroupDescribeRequest,
    ShareGroupDescribeResponse,
    ShareGroupDescribeTopicPartitions,
)


async def handle(
    context: RequestContext, request: ShareGroupDescribeRequest
) -> ShareGroupDescribeResponse:
    groups = await described_groups(
        ShareGroupDescribedGroup,
        partial(_fill, context),
        request.group_ids,
        with_operations=request.include_authorized_operations,
    )
    return ShareGroupDescribeResponse(groups=groups)


def _fill(context: RequestContext, answer: ShareGroupDescribedGroup) -> None:
    context.broker.groups.check_group_id(answer.group_id)
    group = context.broker.groups.describe_share(answer.group_id)
    if group is None:
        raise RequestError(
            ErrorCode.GROUP_ID_NOT_FOUND, f"there is no share group {answer.group_id!r}"
        )
    answer.group_state = group.state.value
    answer.group_epoch = answer.assignment_epoch = group.generation
    answer.assignor_name = group.assignor
    answer.members = [
        ShareGroupDescribeMember(
            member_id=member.member_id,
            rack_id=member.rack_id,
            member_epoch=member.epoch,
            client_id=member.client_id,
            client_host=member.client_host,
            subscribed_topic_names=sorted(member.names),
            assignment=_assignment(context, member.assigned),
        )
        for member in group.members
    ]


def _assignment(
    context: RequestContext, partitions: Iterable[tuple[UUID, int]]
) -> ShareGroupDescribeAssignment:
    known = context.broker.topics.by_id
    return ShareGroupDescribeAssignment(
        topic_partitions=[
            ShareGroupDescribeTopicPartitions(
                topic_id=topic_id, topic_name=known[topic_id].name, partitions=indexes
            )
            for topic_id, indexes in by_topic(partitions).items()
            if topic_id in known
        ]
    )


API = Api(
    ApiKey.SHARE_GROUP_DESCRIBE,
    versions=(1, 1),
    request=ShareGroupDescribeRequest,
    handle=handle,
)
