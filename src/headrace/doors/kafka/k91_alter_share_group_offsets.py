"""AlterShareGroupOffsets (key 91), version 0: from where on an empty share group reads (KIP-932).

- members: NON_EMPTY_GROUP; no share group: GROUP_ID_NOT_FOUND; both for the whole request
- what was accepted or archived before counts no longer; answered when that is durable
- any offset is taken: one that the log no longer holds is its start once somebody reads
- Apache Kafka makes a group that does not exist; here somebody has to have joined it
"""

from typing import TYPE_CHECKING

from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k91_alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsResponse,
    AlterShareGroupOffsetsResponsePartition,
    AlterShareGroupOffsetsResponseTopic,
)

if TYPE_CHECKING:
    from headrace.broker.broker import Broker


async def handle(
    context: RequestContext, request: AlterShareGroupOffsetsRequest
) -> AlterShareGroupOffsetsResponse:
    broker = context.broker
    try:
        broker.share.check_empty(request.group_id)
    except RequestError as error:
        return AlterShareGroupOffsetsResponse(error_code=error.code, error_message=error.message)
    response = AlterShareGroupOffsetsResponse()
    for asked in request.topics:
        topic = broker.topics.by_name.get(asked.topic_name)
        told = AlterShareGroupOffsetsResponseTopic(
            asked.topic_name, None if topic is None else topic.id
        )
        for partition in asked.partitions:
            index = partition.partition_index
            part = AlterShareGroupOffsetsResponsePartition(index)
            try:
                await _set_offset(
                    broker, request.group_id, asked.topic_name, index, partition.start_offset
                )
            except RequestError as error:
                part.error_code, part.error_message = error.code, error.message
            told.partitions.append(part)
        response.responses.append(told)
    return response


async def _set_offset(
    broker: "Broker", group_id: str, topic: str, index: int, start_offset: int
) -> None:
    """Raises RequestError."""
    partition = broker.topics.partition(topic, index)
    if partition.is_mine or broker.share_elsewhere is None:
        await broker.share.set_offset(group_id, topic, index, start_offset)
    else:
        await broker.share_elsewhere.set_offset(group_id, partition.topic, index, start_offset)


API = Api(
    ApiKey.ALTER_SHARE_GROUP_OFFSETS,
    versions=(0, 0),
    request=AlterShareGroupOffsetsRequest,
    handle=handle,
)
