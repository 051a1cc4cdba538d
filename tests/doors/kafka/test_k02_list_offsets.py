from typing import Any

import pytest

from headrace.doors.kafka.k02_list_offsets import API
from headrace.log.contract import ACKS_LEADER
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k02_list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    OffsetMark,
)
from headrace.wire.records import Record, build_batch

VERSIONS = range(API.versions[0], API.versions[1] + 1)

RECORDS = 10
"""Record N of the filled partition has offset N and timestamp N."""


async def ask(asker: Any, version: int, *timestamps: int, **fields: int) -> list[tuple[int, ...]]:
    """(error code, timestamp, offset) per timestamp, each asked of partition 0 by itself."""
    found = []
    for timestamp in timestamps:
        asked = ListOffsetsPartition(partition_index=0, timestamp=timestamp, **fields)
        request = ListOffsetsRequest(topics=[ListOffsetsTopic("t", [asked])])
        (topic,) = (await asker.ask(API, version, request)).topics
        (answer,) = topic.partitions
        found.append((answer.error_code, answer.timestamp, answer.offset))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_both_ends_and_any_time_are_found(with_broker, fill, version):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        await fill(topic.partitions[0], RECORDS)
        await topic.partitions[0].log.delete_before(3)
        found = await ask(asker, version, OffsetMark.EARLIEST, OffsetMark.LATEST, 0, 5, 9, 10)
        assert found == [
            (0, -1, 3),
            (0, -1, RECORDS),
            (0, 3, 3),
            (0, 5, 5),
            (0, 9, 9),
            (0, -1, -1),
        ]

    with_broker(body)


@pytest.mark.parametrize(
    ("mark", "first_version", "found"),
    [
        (OffsetMark.MAX_TIMESTAMP, 7, (0, RECORDS - 1, RECORDS - 1)),
        (OffsetMark.EARLIEST_LOCAL, 8, (0, -1, 0)),
        (OffsetMark.LATEST_TIERED, 9, (0, -1, -1)),
        (OffsetMark.EARLIEST_PENDING_UPLOAD, 11, (0, -1, -1)),
    ],
)
def test_later_marks_are_known_from_their_version_on(with_broker, fill, mark, first_version, found):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        await fill(topic.partitions[0], RECORDS)
        for version in VERSIONS:
            refused = (ErrorCode.UNSUPPORTED_VERSION, -1, -1)
            expected = found if version >= first_version else refused
            assert await ask(asker, version, mark) == [expected], version

    with_broker(body)


def test_an_empty_partition_has_ends_and_no_times(with_broker):
    async def body(asker):
        await asker.broker.topics.create("t", 1)
        assert await ask(asker, 10, -2, -1, 0, -3) == [
            (0, -1, 0),
            (0, -1, 0),
            (0, -1, -1),
            (0, -1, -1),
        ]

    with_broker(body)


def test_the_youngest_record_is_found_wherever_it_stands(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        for timestamps in ([5, 90, 7], [3, 4]):
            records = [Record(timestamp_ms=t, value=b"v") for t in timestamps]
            view = memoryview(bytearray(build_batch(records)))
            topic.partitions[0].log.append(view, ACKS_LEADER, lambda outcome: None)
        assert await ask(asker, 10, OffsetMark.MAX_TIMESTAMP) == [(0, 90, 1)]

    with_broker(body)


def test_what_makes_no_sense_is_refused_alone(with_broker):
    async def body(asker):
        await asker.broker.topics.create("t", 1)
        assert await ask(asker, 10, -7) == [(ErrorCode.INVALID_REQUEST, -1, -1)]
        assert await ask(asker, 10, -1, current_leader_epoch=0) == [(0, -1, 0)]
        ahead = await ask(asker, 10, -1, current_leader_epoch=1)
        assert ahead == [(ErrorCode.UNKNOWN_LEADER_EPOCH, -1, -1)]
        twice = [ListOffsetsPartition(0, timestamp=-1), ListOffsetsPartition(0, timestamp=-2)]
        request = ListOffsetsRequest(
            topics=[
                ListOffsetsTopic("t", [*twice, ListOffsetsPartition(1, timestamp=-1)]),
                ListOffsetsTopic("nope", twice[:1]),
            ]
        )
        known, unknown = (await asker.ask(API, 10, request)).topics
        assert [p.error_code for p in known.partitions] == [
            ErrorCode.INVALID_REQUEST,
            ErrorCode.INVALID_REQUEST,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ]
        assert unknown.partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_broker(body)
