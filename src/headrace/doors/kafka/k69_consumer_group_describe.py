"""ConsumerGroupDescribe (key 69), versions 0-1.

- a group that does not exist, or is a classic one, is GROUP_ID_NOT_FOUND: clients then ask
  DescribeGroups
- v1 says which members speak the classic protocol
- topics that have been deleted since are left out
"""

from collections.abc import Iterable
from functools import partial
from typing import Final
from uuid import UUID

from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.by_topic import by_topic
from headrace.doors.kafka.described_groups import described_groups
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k69_consumer_group_describe import (
    ConsumerGroupDescribeAssignment,
    ConsumerGroupDescribedGroup,
    ConsumerGroupDescribeMember,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    ConsumerGroupDescribeTopicPartitions,
)

_CLASSIC_MEMBER: Final = 0
_CONSUMER_MEMBER: Final = 1


async def handle(
    context: RequestContext, request: ConsumerGroupDescribeRequest
) -> ConsumerGroupDescribeResponse:
    groups = await described_groups(
        ConsumerGroupDescribedGroup,
        partial(_fill, context),
        request.group_ids,
        with_operations=request.include_authorized_operations,
    )
    return ConsumerGroupDescribeResponse(groups=groups)


def _fill(context: RequestContext, answer: ConsumerGroupDescribedGroup) -> None:
    group = context.broker.groups.describe_consumer(answer.group_id)
    if group is None:
        raise RequestError(
            ErrorCode.GROUP_ID_NOT_FOUND, f"there is no consumer-protocol group {answer.group_id!r}"
        )
    answer.group_state = group.state.value
    answer.group_epoch = answer.assignment_epoch = group.generation
    answer.assignor_name = group.assignor
    answer.members = [
        ConsumerGroupDescribeMember(
            member_id=member.member_id,
            instance_id=member.instance_id,
            rack_id=member.rack_id,
            member_epoch=member.epoch,
            client_id=member.client_id,
            client_host=member.client_host,
            subscribed_topic_names=sorted(member.names),
            subscribed_topic_regex=member.pattern or None,
            assignment=_assignment(context, member.assigned),
            target_assignment=_assignment(context, member.target),
            member_type=_CONSUMER_MEMBER if member.classic is None else _CLASSIC_MEMBER,
        )
        for member in group.members
    ]


def _assignment(
    context: RequestContext, partitions: Iterable[tuple[UUID, int]]
) -> ConsumerGroupDescribeAssignment:
    known = context.broker.topics.by_id
    return ConsumerGroupDescribeAssignment(
        topic_partitions=[
            ConsumerGroupDescribeTopicPartitions(
                topic_id=topic_id, topic_name=known[topic_id].name, partitions=indexes
            )
            for topic_id, indexes in by_topic(partitions).items()
            if topic_id in known
        ]
    )


API = Api(
    ApiKey.CONSUMER_GROUP_DESCRIBE,
    versions=(0, 1),
    request=ConsumerGroupDescribeRequest,
    handle=handle,
)
