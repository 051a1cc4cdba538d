"""DescribeLogDirs (key 35), versions 1-4.

- one data directory; null topics ask for everything in it
- partitions that do not exist, are offline or another worker's are left out
- from version 4 on the size and the free space of the volume (KIP-827)
"""

from collections import defaultdict

from headrace.broker.topic import Topic
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k35_describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)


async def handle(
    context: RequestContext, request: DescribeLogDirsRequest
) -> DescribeLogDirsResponse:
    broker = context.broker
    everything = broker.topics.by_name
    if request.topics is None:
        topics = [_describe(topic, None) for topic in everything.values()]
    else:
        wanted: defaultdict[str, set[int]] = defaultdict(set)
        for asked in request.topics:
            wanted[asked.topic].update(asked.partitions)
        topics = [
            _describe(everything[name], partitions)
            for name, partitions in wanted.items()
            if name in everything
        ]
    directory = DescribeLogDirsResult(
        error_code=ErrorCode.NONE,
        log_dir=broker.data_dir,
        topics=[topic for topic in topics if topic.partitions],
        total_bytes=broker.store.volume_bytes(),
        usable_bytes=broker.store.free_bytes(),
    )
    return DescribeLogDirsResponse(results=[directory])


def _describe(topic: Topic, wanted: set[int] | None) -> DescribeLogDirsTopic:
    return DescribeLogDirsTopic(
        topic.name,
        [
            DescribeLogDirsPartition(partition.index, partition.log.size_bytes())
            for partition in topic.partitions
            if (wanted is None or partition.index in wanted)
            and partition.is_mine
            and not partition.is_offline
        ],
    )


API = Api(ApiKey.DESCRIBE_LOG_DIRS, versions=(1, 4), request=DescribeLogDirsRequest, handle=handle)
