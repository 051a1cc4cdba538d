"""OffsetFetch (key 9), versions 1-10.

- a partition without a commit, or of a group that does not exist, has offset -1 and no error
- v2 topics=null: everything that the group has committed; v8 many groups
- v7 with require_stable a partition whose offset a transaction may still change has
  UNSTABLE_OFFSET_COMMIT; its reader asks again
- v9 a member of a next-generation group says its epoch: STALE_MEMBER_EPOCH if it is another,
  UNKNOWN_MEMBER_ID if it is none
- v10 topics by id; offsets of a topic without one are left out of "everything"
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from headrace.broker.group_requests import Committed
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import in_turns
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

Offsets = Mapping[tuple[str, int], Committed]

_NONE = Committed(-1, -1, "", 0)
_UNSTABLE = Committed(-1, -1, "", 1)


class _Wanted(NamedTuple):
    name: str
    partitions: list[int]


async def handle(context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse:
    if context.api_version >= 8:
        groups = {group.group_id: group for group in request.groups}
        answer = partial(_group, context, request.require_stable)
        answers = await in_turns(answer, groups.values())
        return OffsetFetchResponse(groups=answers)
    response = OffsetFetchResponse()
    offsets: Offsets = {}
    try:
        offsets = _offsets(context, request.group_id, request.require_stable)
    except RequestError as error:
        response.error_code = error.code
    topics = (
        None
        if request.topics is None
        else [_Wanted(topic.name, topic.partition_indexes) for topic in request.topics]
    )
    for topic in _everything(offsets) if topics is None else topics:
        found = [
            OffsetFetchResponsePartition(
                partition_index=partition,
                committed_offset=committed.offset,
                committed_leader_epoch=committed.leader_epoch,
                metadata=committed.metadata,
                error_code=response.error_code or _code(committed),
            )
            for partition, committed in _committed(offsets, topic)
        ]
        response.topics.append(OffsetFetchResponseTopic(name=topic.name, partitions=found))
    return response


def _offsets(context: RequestContext, group_id: str, require_stable: bool) -> Offsets:
    """What the group has committed, with _UNSTABLE in place of what may still change."""
    offsets = context.broker.groups.offsets(group_id)
    pending = context.broker.groups.pending(group_id) if require_stable else ()
    return {**offsets, **dict.fromkeys(pending, _UNSTABLE)} if pending else offsets


def _group(
    context: RequestContext, require_stable: bool, asked: OffsetFetchRequestGroup
) -> OffsetFetchResponseGroup:
    answer = OffsetFetchResponseGroup(group_id=asked.group_id)
    try:
        groups = context.broker.groups
        offsets = _offsets(context, asked.group_id, require_stable)
        answer.error_code = groups.check_reader(asked.group_id, asked.member_id, asked.member_epoch)
    except RequestError as error:
        answer.error_code = error.code
    if answer.error_code:
        return answer
    topics = context.broker.topics
    if asked.topics is None:
        for wanted in _everything(offsets):
            known = topics.by_name.get(wanted.name)
            if known is not None or context.api_version < 10:
                found = OffsetFetchResponseTopics(
                    topic_id=None if known is None else known.id, name=wanted.name
                )
                found.partitions = _partitions(offsets, wanted)
                answer.topics.append(found)
        return answer
    for topic in asked.topics:
        found = OffsetFetchResponseTopics(topic_id=topic.topic_id, name=topic.name)
        name = topic.name
        error_code = ErrorCode.NONE
        if context.api_version >= 10:
            by_id = topics.by_id.get(topic.topic_id) if topic.topic_id is not None else None
            if by_id is None:
                error_code = ErrorCode.UNKNOWN_TOPIC_ID
            else:
                name = by_id.name
        found.partitions = _partitions(offsets, _Wanted(name, topic.partition_indexes), error_code)
        answer.topics.append(found)
    return answer


def _partitions(
    offsets: Offsets, wanted: _Wanted, error_code: ErrorCode = ErrorCode.NONE
) -> list[OffsetFetchResponsePartitions]:
    return [
        OffsetFetchResponsePartitions(
            partition_index=partition,
            committed_offset=committed.offset,
            committed_leader_epoch=committed.leader_epoch,
            metadata=committed.metadata,
            error_code=error_code or _code(committed),
        )
        for partition, committed in _committed(offsets, wanted)
    ]


def _code(committed: Committed) -> ErrorCode:
    return ErrorCode.UNSTABLE_OFFSET_COMMIT if committed is _UNSTABLE else ErrorCode.NONE


def _committed(offsets: Offsets, wanted: _Wanted) -> Iterable[tuple[int, Committed]]:
    return [
        (partition, offsets.get((wanted.name, partition), _NONE)) for partition in wanted.partitions
    ]


def _everything(offsets: Offsets) -> list[_Wanted]:
    """Every topic with a commit, and its partitions, in order."""
    partitions: dict[str, list[int]] = {}
    for topic, partition in sorted(offsets):
        partitions.setdefault(topic, []).append(partition)
    return [_Wanted(topic, indexes) for topic, indexes in partitions.items()]


API = Api(
    ApiKey.OFFSET_FETCH,
    versions=(1, 10),
    request=OffsetFetchRequest,
    handle=handle,
)
