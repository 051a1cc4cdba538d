"""CreatePartitions (key 37), versions 0-3.

- a topic only grows; the same or a smaller count is refused with INVALID_PARTITIONS
- new partitions are there when the answer comes. A key may belong to another partition from then
  on: the order of a key's records holds before and after, not across
- a topic that occurs twice in a request is refused with INVALID_REQUEST
"""

from collections import Counter
from collections.abc import Awaitable

from headrace.broker.admin_topics import create_partitions
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k37_create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)


async def handle(
    context: RequestContext, request: CreatePartitionsRequest
) -> CreatePartitionsResponse:
    wanted = {topic.name: topic for topic in request.topics}
    times = Counter(topic.name for topic in request.topics)

    def grow(topic: CreatePartitionsTopic) -> Awaitable[CreatePartitionsTopicResult]:
        twice = times[topic.name] > 1
        return _grow(context, topic, twice=twice, validate_only=request.validate_only)

    return CreatePartitionsResponse(results=await side_by_side(grow, wanted.values()))


async def _grow(
    context: RequestContext, topic: CreatePartitionsTopic, *, twice: bool, validate_only: bool
) -> CreatePartitionsTopicResult:
    assignments = None
    if topic.assignments is not None:
        assignments = [assignment.broker_ids for assignment in topic.assignments]
    try:
        if twice:
            raise RequestError(ErrorCode.INVALID_REQUEST, f"topic {topic.name!r} is named twice")
        await create_partitions(
            context.broker, topic.name, topic.count, assignments, validate_only=validate_only
        )
    except RequestError as error:
        return CreatePartitionsTopicResult(topic.name, error.code, error.message)
    return CreatePartitionsTopicResult(topic.name)


API = Api(ApiKey.CREATE_PARTITIONS, versions=(0, 3), request=CreatePartitionsRequest, handle=handle)
