"""DeleteShareGroupOffsets (key 92), version 0: an empty share group forgets topics (KIP-932).

- members: NON_EMPTY_GROUP; no share group: GROUP_ID_NOT_FOUND; both for the whole request
- a topic that does not exist: UNKNOWN_TOPIC_OR_PARTITION; one that was never read: no error
- answered when it is durably forgotten; who reads it again begins by share.auto.offset.reset
"""

from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k92_delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse,
    DeleteShareGroupOffsetsResponseTopic,
)


async def handle(
    context: RequestContext, request: DeleteShareGroupOffsetsRequest
) -> DeleteShareGroupOffsetsResponse:
    broker = context.broker
    response = DeleteShareGroupOffsetsResponse()
    known = []
    for asked in request.topics:
        told = DeleteShareGroupOffsetsResponseTopic(asked.topic_name)
        response.responses.append(told)
        try:
            topic = broker.topics.get(asked.topic_name)
        except RequestError as error:
            told.error_code, told.error_message = error.code, error.message
            continue
        told.topic_id = topic.id
        known.append(topic)
    try:
        broker.share.check_empty(request.group_id)
        if broker.share_elsewhere is not None:
            await broker.share_elsewhere.forget(request.group_id, known)
        await broker.share.forget(request.group_id, known)
    except RequestError as error:
        return DeleteShareGroupOffsetsResponse(error_code=error.code, error_message=error.message)
    return response


API = Api(
    ApiKey.DELETE_SHARE_GROUP_OFFSETS,
    versions=(0, 0),
    request=DeleteShareGroupOffsetsRequest,
    handle=handle,
)
