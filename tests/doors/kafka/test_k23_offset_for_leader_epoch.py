import pytest

from headrace.doors.kafka.k23_offset_for_leader_epoch import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k23_offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("current", "asked", "answer"),
    [
        (-1, 0, (0, 0, 7)),
        (0, 0, (0, 0, 7)),
        (-1, 1, (0, -1, -1)),  # an epoch that never was
        (-1, -1, (0, -1, -1)),
        (1, 0, (ErrorCode.UNKNOWN_LEADER_EPOCH, -1, -1)),
    ],
)
def test_the_epoch_ends_where_the_log_is_readable(
    with_broker, fill, version, current, asked, answer
):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        await fill(topic.partitions[0], 7)
        wanted = [OffsetForLeaderPartition(0, current, asked)]
        request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic("t", wanted)])
        (found,) = (await asker.ask(API, version, request)).topics
        (end,) = found.partitions
        assert (end.error_code, end.leader_epoch, end.end_offset) == answer

    with_broker(body)


def test_what_does_not_exist_is_named_alone(with_broker):
    async def body(asker):
        await asker.broker.topics.create("t", 1)
        wanted = [OffsetForLeaderPartition(index, -1, 0) for index in (0, 1)]
        topics = [OffsetForLeaderTopic("t", wanted), OffsetForLeaderTopic("nope", wanted[:1])]
        known, unknown = (
            await asker.ask(API, 4, OffsetForLeaderEpochRequest(topics=topics))
        ).topics
        missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert [p.error_code for p in known.partitions] == [0, missing]
        assert [p.error_code for p in unknown.partitions] == [missing]

    with_broker(body)
