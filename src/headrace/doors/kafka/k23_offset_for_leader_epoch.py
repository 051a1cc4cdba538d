"""OffsetForLeaderEpoch (key 23), versions 2-4.

- readable means durable here, so a leader epoch never ends earlier than a reader saw: the current
  epoch's end is the high watermark, and an epoch never used has none
- version 2 must stay offered: librdkafka validates its positions with exactly that one
"""

from functools import partial

from headrace.broker.append import find_in_epoch
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import in_turns
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k23_offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)


async def handle(
    context: RequestContext, request: OffsetForLeaderEpochRequest
) -> OffsetForLeaderEpochResponse:
    response = OffsetForLeaderEpochResponse()
    for topic in request.topics:
        answers = await in_turns(partial(_answer, context, topic.topic), topic.partitions)
        response.topics.append(OffsetForLeaderTopicResult(topic=topic.topic, partitions=answers))
    return response


def _answer(context: RequestContext, topic: str, asked: OffsetForLeaderPartition) -> EpochEndOffset:
    answer = EpochEndOffset(partition=asked.partition)
    try:
        log = find_in_epoch(context.broker, topic, asked.partition, asked.current_leader_epoch).log
        if 0 <= asked.leader_epoch <= log.leader_epoch:
            answer.leader_epoch = asked.leader_epoch
            answer.end_offset = log.offsets().high_watermark
    except RequestError as error:
        answer.error_code = error.code
    return answer


API = Api(
    ApiKey.OFFSET_FOR_LEADER_EPOCH,
    versions=(2, 4),
    request=OffsetForLeaderEpochRequest,
    handle=handle,
)
