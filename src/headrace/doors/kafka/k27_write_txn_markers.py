"""WriteTxnMarkers (key 27), versions 1-2.

- an administrator ends what no coordinator ends any more: partition by partition, answered when
  the marker is durable; the coordinator is not asked
- an epoch older than the producer's last: INVALID_PRODUCER_EPOCH
- v2 the transaction version is not looked at: a marker of a newer epoch is taken, as is one of the
  same epoch
"""

from functools import partial

from headrace.broker.append import find_partition
from headrace.broker.transaction_end import write_marker
from headrace.broker.transaction_requests import Marker
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k27_write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)


async def handle(
    context: RequestContext, request: WriteTxnMarkersRequest
) -> WriteTxnMarkersResponse:
    return WriteTxnMarkersResponse(
        markers=[await _marker(context, asked) for asked in request.markers]
    )


async def _marker(context: RequestContext, asked: WritableTxnMarker) -> WritableTxnMarkerResult:
    marker = Marker(
        asked.producer_id, asked.producer_epoch, asked.coordinator_epoch, asked.transaction_result
    )
    topics = []
    for topic in asked.topics:
        write = partial(_write, context, marker, topic.name)
        results = await side_by_side(write, topic.partition_indexes)
        topics.append(WritableTxnMarkerTopicResult(name=topic.name, partitions=results))
    return WritableTxnMarkerResult(producer_id=asked.producer_id, topics=topics)


async def _write(
    context: RequestContext, marker: Marker, topic: str, index: int
) -> WritableTxnMarkerPartitionResult:
    result = WritableTxnMarkerPartitionResult(partition_index=index)
    try:
        await write_marker(find_partition(context.broker, topic, index).log, marker)
    except RequestError as error:
        result.error_code = error.code
    return result


API = Api(ApiKey.WRITE_TXN_MARKERS, versions=(1, 2), request=WriteTxnMarkersRequest, handle=handle)
