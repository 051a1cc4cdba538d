"""DescribeShareGroupOffsets (key 90), versions 0-1: where share groups are (KIP-932).

- topics null: every partition that the group has begun with; named ones that it has not begun with
  have start offset -1, without an error even if there are no such partitions or groups
- the start offset is that of the first record that is neither accepted nor archived
- v1 lag: records up to the high watermark that are neither (KIP-1226), -1 where not known
"""

from functools import partial
from typing import TYPE_CHECKING

from headrace.broker.share.share_groups import NOT_BEGUN, SharedOffset
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k90_describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponse,
    DescribeShareGroupOffsetsResponseGroup,
    DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
)

if TYPE_CHECKING:
    from headrace.broker.broker import Broker


async def handle(
    context: RequestContext, request: DescribeShareGroupOffsetsRequest
) -> DescribeShareGroupOffsetsResponse:
    described = await side_by_side(partial(_group, context.broker), request.groups)
    return DescribeShareGroupOffsetsResponse(groups=described)


async def _group(
    broker: "Broker", asked: DescribeShareGroupOffsetsRequestGroup
) -> DescribeShareGroupOffsetsResponseGroup:
    described = DescribeShareGroupOffsetsResponseGroup(asked.group_id)
    try:
        elsewhere = await _elsewhere(broker, asked.group_id)
    except RequestError as error:
        described.error_code, described.error_message = error.code, error.message
        return described
    if asked.topics is None:
        wanted: dict[str, list[int]] = {}
        for shared in broker.share.of_group(asked.group_id):
            wanted.setdefault(shared.partition.topic.name, []).append(shared.partition.index)
        for name, index in elsewhere:
            wanted.setdefault(name, []).append(index)
    else:
        wanted = {topic.topic_name: topic.partitions for topic in asked.topics}
    for name, indexes in sorted(wanted.items()):
        topic = broker.topics.by_name.get(name)
        described.topics.append(
            DescribeShareGroupOffsetsResponseTopic(
                name,
                None if topic is None else topic.id,
                [
                    _partition(broker, asked.group_id, name, index, elsewhere)
                    for index in sorted(indexes)
                ],
            )
        )
    return described


async def _elsewhere(broker: "Broker", group_id: str) -> dict[tuple[str, int], SharedOffset]:
    """In partitions of other workers, by topic and partition. Raises RequestError."""
    if broker.share_elsewhere is None:
        return {}
    broker.groups.check_mine(group_id)
    topics = broker.topics.by_id
    found = await broker.share_elsewhere.offsets(group_id)
    return {
        (topics[id_].name, index): offset
        for (id_, index), offset in found.items()
        if id_ is not None and id_ in topics
    }


def _partition(
    broker: "Broker",
    group_id: str,
    topic: str,
    index: int,
    elsewhere: dict[tuple[str, int], SharedOffset],
) -> DescribeShareGroupOffsetsResponsePartition:
    if (topic, index) in elsewhere:
        return DescribeShareGroupOffsetsResponsePartition(index, *elsewhere[topic, index])
    try:
        found = broker.share.offset(group_id, topic, index)
    except RequestError:  # no such partition: nobody can have begun with it
        found = NOT_BEGUN
    return DescribeShareGroupOffsetsResponsePartition(index, *found)


API = Api(
    ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS,
    versions=(0, 1),
    request=DescribeShareGroupOffsetsRequest,
    handle=handle,
)
