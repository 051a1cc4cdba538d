import pytest

from headrace.doors.kafka.k27_write_txn_markers import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k27_write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)


@pytest.mark.parametrize("version", [1, 2])
def test_an_administrator_ends_what_is_open(with_transaction, version):
    async def mark(asker, transactor, epoch, *partitions):
        topics = [WritableTxnMarkerTopic("t", list(partitions))]
        marker = WritableTxnMarker(transactor.producer.producer_id, epoch, False, topics, 0)
        answer = await asker.ask(API, version, WriteTxnMarkersRequest([marker]))
        (result,) = answer.markers
        assert result.producer_id == transactor.producer.producer_id
        return [(one.partition_index, one.error_code) for one in result.topics[0].partitions]

    async def body(asker, transactor):
        await transactor.write(0)
        log = asker.broker.topics.partition("t", 0).log
        unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert await mark(asker, transactor, 1, 0, 9) == [(0, 0), (9, unknown)]
        assert log.offsets().last_stable == 2
        assert await mark(asker, transactor, 0, 0) == [(0, ErrorCode.INVALID_PRODUCER_EPOCH)]

    with_transaction(body)
