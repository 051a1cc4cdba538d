"""OffsetCommit (key 8), versions 2-10.

- answered when durable; offsets of one request are kept or refused one by one for unknown
  partitions (3) and metadata over 4096 bytes (12), all together for the rest
- generation -1 with no member: a consumer that assigns itself, welcome while the group is empty
- a member that commits between JoinGroup and SyncGroup gets REBALANCE_IN_PROGRESS
- v2-v4 retention_time_ms is not used: offsets live as long as the broker's retention says (KIP-211)
- v9 a member of a group that does not exist gets GROUP_ID_NOT_FOUND, before ILLEGAL_GENERATION
- v9 the generation is the member epoch of a next-generation group: STALE_MEMBER_EPOCH if it is
  another, UNSUPPORTED_VERSION for a member of such a group that asks in an older version; an older
  epoch is welcome if the member has had all the partitions since (KIP-1251, as Kafka 4.3)
- v10 topics by id
"""

from headrace.broker.group_requests import Commit, OffsetToCommit
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)


async def handle(context: RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse:
    names = [_name(context, topic) for topic in request.topics]
    offsets = tuple(
        OffsetToCommit(
            name,
            partition.partition_index,
            partition.committed_offset,
            partition.committed_leader_epoch,
            partition.committed_metadata or "",
        )
        for name, topic in zip(names, request.topics, strict=True)
        if name is not None
        for partition in topic.partitions
    )
    commit = Commit(
        offsets,
        request.member_id,
        request.generation_id_or_member_epoch,
        request.group_instance_id,
    )
    missing_group = (
        ErrorCode.GROUP_ID_NOT_FOUND if context.api_version >= 9 else ErrorCode.ILLEGAL_GENERATION
    )
    try:
        errors = await context.broker.groups.commit(
            request.group_id, commit, missing_group=missing_group
        )
    except RequestError as error:
        errors = [error.code] * len(offsets)
    if context.api_version < 9:
        errors = [
            ErrorCode.UNSUPPORTED_VERSION if error == ErrorCode.STALE_MEMBER_EPOCH else error
            for error in errors
        ]
    remaining = iter(errors)
    response = OffsetCommitResponse()
    for name, topic in zip(names, request.topics, strict=True):
        answered = [
            OffsetCommitResponsePartition(
                partition_index=partition.partition_index,
                error_code=ErrorCode.UNKNOWN_TOPIC_ID if name is None else next(remaining),
            )
            for partition in topic.partitions
        ]
        response.topics.append(
            OffsetCommitResponseTopic(topic_id=topic.topic_id, name=topic.name, partitions=answered)
        )
    return response


def _name(context: RequestContext, topic: OffsetCommitRequestTopic) -> str | None:
    """None for an id that no topic has."""
    if context.api_version < 10:
        return topic.name
    found = context.broker.topics.by_id.get(topic.topic_id) if topic.topic_id else None
    return None if found is None else found.name


API = Api(
    ApiKey.OFFSET_COMMIT,
    versions=(2, 10),
    request=OffsetCommitRequest,
    handle=handle,
)
