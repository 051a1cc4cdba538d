"""ListOffsets (key 2), versions 1-11.

- latest (-1) is the high watermark, for read_committed the last stable offset; earliest (-2)
- a time: the first record at or after it, exact inside a batch; -1 when there is none
- v7 max timestamp (-3), v8 earliest local (-4, the log start), v9 latest tiered (-5) and v11
  earliest pending upload (-6): nothing is tiered, so there is none
- a partition named twice gets INVALID_REQUEST, as in Kafka
"""

from collections import Counter
from functools import partial
from typing import Final

from headrace.broker.append import find_in_epoch
from headrace.broker.list_offsets import find_offset
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k02_list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
    OffsetMark,
)

_FIRST_VERSION_OF: Final[dict[int, int]] = {
    OffsetMark.MAX_TIMESTAMP: 7,
    OffsetMark.EARLIEST_LOCAL: 8,
    OffsetMark.LATEST_TIERED: 9,
    OffsetMark.EARLIEST_PENDING_UPLOAD: 11,
}


async def handle(context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
    named = Counter(
        (topic.name, partition.partition_index)
        for topic in request.topics
        for partition in topic.partitions
    )
    response = ListOffsetsResponse()
    for topic in request.topics:
        answer = partial(_answer, context, request, named, topic.name)
        answers = await side_by_side(answer, topic.partitions)
        response.topics.append(ListOffsetsTopicResponse(name=topic.name, partitions=answers))
    return response


async def _answer(
    context: RequestContext,
    request: ListOffsetsRequest,
    named: Counter[tuple[str, int]],
    topic: str,
    asked: ListOffsetsPartition,
) -> ListOffsetsPartitionResponse:
    answer = ListOffsetsPartitionResponse(partition_index=asked.partition_index)
    try:
        if named[topic, asked.partition_index] > 1:
            raise RequestError(ErrorCode.INVALID_REQUEST, "a partition is asked for twice")
        if asked.timestamp < 0 and context.api_version < _FIRST_VERSION_OF.get(asked.timestamp, 1):
            raise RequestError(ErrorCode.UNSUPPORTED_VERSION, f"timestamp {asked.timestamp}")
        partition = find_in_epoch(
            context.broker, topic, asked.partition_index, asked.current_leader_epoch
        )
        found = await find_offset(
            partition, asked.timestamp, read_committed=request.isolation_level == 1
        )
    except RequestError as error:
        answer.error_code = error.code
        return answer
    answer.timestamp, answer.offset, answer.leader_epoch = found
    return answer


API = Api(ApiKey.LIST_OFFSETS, versions=(1, 11), request=ListOffsetsRequest, handle=handle)
