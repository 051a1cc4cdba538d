"""DescribeProducers (key 61), version 0.

- who wrote to a partition within the last day, with a sequence, and which transactions are open
"""

from headrace.broker.append import find_partition
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k61_describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)


async def handle(
    context: RequestContext, request: DescribeProducersRequest
) -> DescribeProducersResponse:
    return DescribeProducersResponse(
        topics=[
            TopicResponse(
                name=topic.name,
                partitions=[_partition(context, topic.name, i) for i in topic.partition_indexes],
            )
            for topic in request.topics
        ]
    )


def _partition(context: RequestContext, topic: str, index: int) -> PartitionResponse:
    answer = PartitionResponse(partition_index=index)
    try:
        partition = find_partition(context.broker, topic, index)
        partition.log.offsets()  # or why it is offline
    except RequestError as error:
        answer.error_code, answer.error_message = error.code, error.message
        return answer
    answer.active_producers = [ProducerState(*producer) for producer in partition.log.producers()]
    return answer


API = Api(
    ApiKey.DESCRIBE_PRODUCERS, versions=(0, 0), request=DescribeProducersRequest, handle=handle
)
