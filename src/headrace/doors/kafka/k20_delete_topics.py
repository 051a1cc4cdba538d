"""DeleteTopics (key 20), versions 1-6.

- by name; from version 6 on by name or by id
- a topic that occurs twice in a request is refused with INVALID_REQUEST and not deleted
- the offsets that groups committed for a topic go with it
"""

import asyncio
from collections import Counter
from uuid import UUID

from headrace.broker.admin_topics import delete_topic
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k20_delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)


async def handle(context: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    wanted: list[tuple[str | None, UUID | None]] = [
        *((topic.name, topic.topic_id) for topic in request.topics),
        *((name, None) for name in request.topic_names),
    ]
    times = Counter(wanted)
    results = await asyncio.gather(
        *(_delete(context, name, topic_id, count) for (name, topic_id), count in times.items())
    )
    return DeleteTopicsResponse(responses=results)


async def _delete(
    context: RequestContext, name: str | None, topic_id: UUID | None, count: int
) -> DeletableTopicResult:
    try:
        if count > 1:
            raise RequestError(ErrorCode.INVALID_REQUEST, f"{name or topic_id} is named twice")
        topic = await delete_topic(context.broker, name, topic_id)
    except RequestError as error:
        return DeletableTopicResult(
            name=name, topic_id=topic_id, error_code=error.code, error_message=error.message
        )
    return DeletableTopicResult(name=topic.name, topic_id=topic.id)


API = Api(ApiKey.DELETE_TOPICS, versions=(1, 6), request=DeleteTopicsRequest, handle=handle)
