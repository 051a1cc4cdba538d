"""DeleteRecords (key 21), versions 0-2.

- offset -1 is the high watermark; one below the log's start changes nothing and is no error
- the new start is durable before the answer
"""

from functools import partial
from typing import Final

from headrace.broker.admin_topics import delete_records
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k21_delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
    DeleteRecordsTopicResult,
)

_NO_OFFSET: Final = -1


async def handle(context: RequestContext, request: DeleteRecordsRequest) -> DeleteRecordsResponse:
    topics = [await _delete_in_topic(context, topic) for topic in request.topics]
    return DeleteRecordsResponse(topics=topics)


async def _delete_in_topic(
    context: RequestContext, topic: DeleteRecordsTopic
) -> DeleteRecordsTopicResult:
    partitions = await side_by_side(partial(_delete, context, topic.name), topic.partitions)
    return DeleteRecordsTopicResult(topic.name, partitions)


async def _delete(
    context: RequestContext, topic: str, partition: DeleteRecordsPartition
) -> DeleteRecordsPartitionResult:
    index = partition.partition_index
    try:
        start = await delete_records(context.broker, topic, index, partition.offset)
    except RequestError as error:
        return DeleteRecordsPartitionResult(index, _NO_OFFSET, error.code)
    return DeleteRecordsPartitionResult(index, start)


API = Api(ApiKey.DELETE_RECORDS, versions=(0, 2), request=DeleteRecordsRequest, handle=handle)
