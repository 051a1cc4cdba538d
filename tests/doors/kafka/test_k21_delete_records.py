import pytest

from headrace.doors.kafka.k21_delete_records import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k21_delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_records_before_an_offset_are_given_up(with_broker, version, fill):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 5)
        for partition in topic.partitions:
            await fill(partition, 10)
        offsets = [4, -1, 0, 11, -2]
        wanted = [DeleteRecordsPartition(index, offset) for index, offset in enumerate(offsets)]
        wanted.append(DeleteRecordsPartition(9, 0))
        topics = [DeleteRecordsTopic("t", wanted), DeleteRecordsTopic("nope", wanted[:1])]
        answer = await asker.ask(API, version, DeleteRecordsRequest(topics=topics))
        found, unknown = (
            [(p.low_watermark, p.error_code) for p in topic.partitions] for topic in answer.topics
        )
        assert found == [
            (4, 0),
            (10, 0),
            (0, 0),
            (-1, ErrorCode.OFFSET_OUT_OF_RANGE),
            (-1, ErrorCode.OFFSET_OUT_OF_RANGE),
            (-1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ]
        assert unknown == [(-1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
        assert topic.partitions[0].log.offsets().start == 4

    with_broker(body)
