"""ConsumerGroupHeartbeat (key 68), versions 0-1.

- the heartbeat interval is the broker's to say (group.consumer.heartbeat.interval.ms)
- v0 a member that joins may be without an id, and is given one; v1 it brings its own
- v1 a regular expression in place of names, or beside them: see `groups.topic_pattern`
"""

from collections.abc import Iterable
from uuid import UUID, uuid4

from headrace.broker.group_requests import ConsumerHeartbeat
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.by_topic import by_topic
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k68_consumer_group_heartbeat import (
    ConsumerGroupHeartbeatAssignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatTopicPartitions,
)


async def handle(
    context: RequestContext, request: ConsumerGroupHeartbeatRequest
) -> ConsumerGroupHeartbeatResponse:
    groups = context.broker.groups
    if not request.group_id:
        return _refusal(ErrorCode.INVALID_REQUEST, "the group id is empty")
    try:
        answer = await groups.consumer_heartbeat(request.group_id, _heartbeat(context, request))
    except RequestError as error:
        return _refusal(error.code, error.message)
    if answer.error:
        return _refusal(answer.error, answer.message)
    response = ConsumerGroupHeartbeatResponse(
        member_id=answer.member_id,
        member_epoch=answer.member_epoch,
        heartbeat_interval_ms=answer.next_beat_ms,
    )
    if answer.assignment is not None:
        response.assignment = ConsumerGroupHeartbeatAssignment(
            topic_partitions=[
                ConsumerGroupHeartbeatTopicPartitions(topic_id=topic_id, partitions=indexes)
                for topic_id, indexes in by_topic(answer.assignment).items()
            ]
        )
    return response


def _heartbeat(
    context: RequestContext, request: ConsumerGroupHeartbeatRequest
) -> ConsumerHeartbeat:
    member_id = request.member_id
    if not member_id and context.api_version == 0 and request.member_epoch == 0:
        member_id = str(uuid4())
    names = request.subscribed_topic_names
    owned = request.topic_partitions
    return ConsumerHeartbeat(
        member_id=member_id,
        member_epoch=request.member_epoch,
        instance_id=request.instance_id,
        rack_id=request.rack_id,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        names=None if names is None else frozenset(names),
        pattern=request.subscribed_topic_regex,
        assignor=request.server_assignor,
        owned=None if owned is None else frozenset(_pairs(owned)),
        client_id=context.client_id or "",
        client_host=context.client_host,
    )


def _pairs(
    owned: Iterable[ConsumerGroupHeartbeatTopicPartitions],
) -> Iterable[tuple[UUID, int]]:
    """Raises RequestError for a topic without an id."""
    for topic in owned:
        if topic.topic_id is None:
            raise RequestError(ErrorCode.INVALID_REQUEST, "a topic's id is zero")
        for index in topic.partitions:
            yield topic.topic_id, index


def _refusal(code: ErrorCode, message: str) -> ConsumerGroupHeartbeatResponse:
    return ConsumerGroupHeartbeatResponse(error_code=code, error_message=message or None)


API = Api(
    ApiKey.CONSUMER_GROUP_HEARTBEAT,
    versions=(0, 1),
    request=ConsumerGroupHeartbeatRequest,
    handle=handle,
)
