"""OffsetDelete (key 47), version 0.

- a topic that the group's members read: GROUP_SUBSCRIBED_TO_TOPIC, partition by partition
- an unknown partition: UNKNOWN_TOPIC_OR_PARTITION; one never committed: no error
- unknown group: GROUP_ID_NOT_FOUND; members that are no consumers: NON_EMPTY_GROUP; both for all
- answered when the offsets are durably gone
"""

from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k47_offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)


async def handle(context: RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse:
    pairs = [
        (topic.name, partition.partition_index)
        for topic in request.topics
        for partition in topic.partitions
    ]
    try:
        errors = await context.broker.groups.delete_offsets(request.group_id, pairs)
    except RequestError as error:
        return OffsetDeleteResponse(error_code=error.code)
    remaining = iter(errors)
    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponsePartition(partition.partition_index, next(remaining))
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


API = Api(
    ApiKey.OFFSET_DELETE,
    versions=(0, 0),
    request=OffsetDeleteRequest,
    handle=handle,
)
