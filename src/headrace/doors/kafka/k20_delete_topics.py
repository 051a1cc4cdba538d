"""DeleteTopics (key 20), versions 1-6.

- by name; from version 6 on by name or by id
- a topic that occurs twice in a request is refused with INVALID_REQUEST and not deleted
- the offsets that groups committed for a topic go with it
"""

from collections import Counter
from collections.abc import Awaitable
from uuid import UUID

from headrace.broker.admin_topics import delete_topic
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k20_delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

_Named = tuple[str | None, UUID | None]


async def handle(context: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    wanted: list[_Named] = [
        *((topic.name, topic.topic_id) for topic in request.topics),
        *((name, None) for name in request.topic_names),
    ]
    times = Counter(wanted)

    def delete(topic: _Named) -> Awaitable[DeletableTopicResult]:
        return _delete(context, *topic, twice=times[topic] > 1)

    return DeleteTopicsResponse(responses=await side_by_side(delete, times))


async def _delete(
    context: RequestContext, name: str | None, topic_id: UUID | None, *, twice: bool
) -> DeletableTopicResult:
    try:
        if twice:
            raise RequestError(ErrorCode.INVALID_REQUEST, f"{name or topic_id} is named twice")
        topic = await delete_topic(context.broker, name, topic_id)
    except RequestError as error:
        return DeletableTopicResult(
            name=name, topic_id=topic_id, error_code=error.code, error_message=error.message
        )
    return DeletableTopicResult(name=topic.name, topic_id=topic.id)


API = Api(ApiKey.DELETE_TOPICS, versions=(1, 6), request=DeleteTopicsRequest, handle=handle)
