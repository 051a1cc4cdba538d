"""ShareGroupHeartbeat (key 76), version 1.

- the heartbeat interval is the broker's to say (share.heartbeat.interval.ms of the group)
- members bring their own ids; there are no instance ids, no patterns, no choice of assignors
- a group of another kind is GROUP_ID_NOT_FOUND, even while it is empty; it can be deleted
"""

from headrace.broker.group_requests import ShareHeartbeat
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.by_topic import by_topic
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k76_share_group_heartbeat import (
    ShareGroupHeartbeatAssignment,
    ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse,
    ShareGroupHeartbeatTopicPartitions,
)


async def handle(
    context: RequestContext, request: ShareGroupHeartbeatRequest
) -> ShareGroupHeartbeatResponse:
    groups = context.broker.groups
    if not request.group_id:
        return _refusal(ErrorCode.INVALID_REQUEST, "the group id is empty")
    names = request.subscribed_topic_names
    asked = ShareHeartbeat(
        member_id=request.member_id,
        member_epoch=request.member_epoch,
        rack_id=request.rack_id,
        names=None if names is None else frozenset(names),
        client_id=context.client_id or "",
        client_host=context.client_host,
    )
    try:
        answer = await groups.share_heartbeat(request.group_id, asked)
    except RequestError as error:
        return _refusal(error.code, error.message)
    if answer.error:
        return _refusal(answer.error, answer.message)
    response = ShareGroupHeartbeatResponse(
        member_id=answer.member_id,
        member_epoch=answer.member_epoch,
        heartbeat_interval_ms=groups.settings_of(request.group_id).share_heartbeat_interval_ms,
    )
    if answer.assignment is not None:
        response.assignment = ShareGroupHeartbeatAssignment(
            topic_partitions=[
                ShareGroupHeartbeatTopicPartitions(topic_id=topic_id, partitions=indexes)
                for topic_id, indexes in by_topic(answer.assignment).items()
            ]
        )
    return response


def _refusal(code: ErrorCode, message: str) -> ShareGroupHeartbeatResponse:
    return ShareGroupHeartbeatResponse(error_code=code, error_message=message or None)


API = Api(
    ApiKey.SHARE_GROUP_HEARTBEAT,
    versions=(1, 1),
    request=ShareGroupHeartbeatRequest,
    handle=handle,
)
