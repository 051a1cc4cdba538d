"""DescribeShareGroupOffsets, AlterShareGroupOffsets, DeleteShareGroupOffsets (keys 90 to 92)."""

from typing import Any

from headrace.doors.kafka.k78_share_fetch import API as FETCH
from headrace.doors.kafka.k90_describe_share_group_offsets import API as DESCRIBE
from headrace.doors.kafka.k91_alter_share_group_offsets import API as ALTER
from headrace.doors.kafka.k92_delete_share_group_offsets import API as DELETE
from headrace.groups.share_requests import ShareHeartbeat
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k78_share_fetch import (
    AcknowledgementBatch,
    ShareFetchPartition,
    ShareFetchRequest,
    ShareFetchTopic,
)
from headrace.wire.messages.k90_describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsRequestTopic,
)
from headrace.wire.messages.k91_alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
)
from headrace.wire.messages.k92_delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsRequestTopic,
)


async def _share(asker: Any, fill: Any) -> None:
    """Group `g` has accepted offsets 0 and 2 of t-0, which holds four, and its member has left."""
    broker = asker.broker
    await broker.group_configs.alter(
        "g", lambda old: {**old, "share.auto.offset.reset": "earliest"}, in_use=False
    )
    topic = broker.topics.get("t")
    await fill(topic.partitions[0], 4)
    await broker.groups.share_heartbeat("g", ShareHeartbeat("m", 0, names=frozenset({"t"})))
    for epoch, batches in enumerate(([], [AcknowledgementBatch(0, 2, [1, 2, 1])])):
        wants = ShareFetchPartition(0, batches)
        request = ShareFetchRequest(
            *("g", "m", epoch, 0, 1, 1 << 20, 500 * (epoch == 0), 500),
            topics=[ShareFetchTopic(topic.id, [wants])],
        )
        answer = await _fetch(asker, request)
        assert not answer.error_code
    await _fetch(asker, ShareFetchRequest("g", "m", -1))


async def _fetch(asker: Any, request: ShareFetchRequest) -> Any:
    from headrace.doors.kafka.api import RequestContext

    answer = await FETCH.handle(RequestContext(asker.broker, 2, "c", "127.0.0.1", 1), request)
    for pieces in answer.records:
        for piece in pieces:
            piece.release()
    return answer.message


async def _leave(asker: Any) -> None:
    await asker.broker.groups.share_heartbeat("g", ShareHeartbeat("m", -1))


async def _described(
    asker: Any, topics: dict[str, list[int]] | None = None, version: int = 1
) -> Any:
    asked = None
    if topics is not None:
        asked = [DescribeShareGroupOffsetsRequestTopic(name, ids) for name, ids in topics.items()]
    request = DescribeShareGroupOffsetsRequest([DescribeShareGroupOffsetsRequestGroup("g", asked)])
    (group,) = (await asker.ask(DESCRIBE, version, request)).groups
    assert not group.error_code
    return {
        (topic.topic_name, part.partition_index): (part.start_offset, part.lag, part.error_code)
        for topic in group.topics
        for part in topic.partitions
    }


def test_offsets_are_described_as_start_and_lag(with_groups: Any, fill: Any) -> None:
    async def body(asker: Any) -> None:
        assert await _described(asker) == {}
        await _share(asker, fill)
        assert await _described(asker) == {("t", 0): (1, 2, 0)}
        assert await _described(asker, version=0) == {("t", 0): (1, -1, 0)}
        assert await _described(asker, {"t": [0, 1, 9], "u": [0]}) == {
            ("t", 0): (1, 2, 0),
            ("t", 1): (-1, -1, 0),
            ("t", 9): (-1, -1, 0),
            ("u", 0): (-1, -1, 0),
        }

    with_groups(body)


def test_offsets_are_altered_while_nobody_reads(with_groups: Any, fill: Any) -> None:
    async def body(asker: Any) -> None:
        request = AlterShareGroupOffsetsRequest(
            "g",
            [
                AlterShareGroupOffsetsRequestTopic(
                    "t",
                    [
                        AlterShareGroupOffsetsRequestPartition(0, 0),
                        AlterShareGroupOffsetsRequestPartition(1, 7),
                        AlterShareGroupOffsetsRequestPartition(9, 0),
                    ],
                )
            ],
        )
        answer = await asker.ask(ALTER, 0, request)
        assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        await _share(asker, fill)
        assert (await asker.ask(ALTER, 0, request)).error_code == ErrorCode.NON_EMPTY_GROUP
        await _leave(asker)
        answer = await asker.ask(ALTER, 0, request)
        codes = [part.error_code for part in answer.responses[0].partitions]
        assert codes == [0, 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        assert answer.responses[0].topic_id is not None
        assert await _described(asker) == {("t", 0): (0, 4, 0), ("t", 1): (7, 0, 0)}

    with_groups(body)

    async def after_a_restart(asker: Any) -> None:
        assert await _described(asker) == {("t", 0): (0, 4, 0), ("t", 1): (7, 0, 0)}

    with_groups(after_a_restart)


def test_offsets_are_deleted_while_nobody_reads(with_groups: Any, fill: Any) -> None:
    async def body(asker: Any) -> None:
        request = DeleteShareGroupOffsetsRequest(
            "g", [DeleteShareGroupOffsetsRequestTopic(name) for name in ("t", "u")]
        )
        answer = await asker.ask(DELETE, 0, request)
        assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        await _share(asker, fill)
        assert (await asker.ask(DELETE, 0, request)).error_code == ErrorCode.NON_EMPTY_GROUP
        await _leave(asker)
        answer = await asker.ask(DELETE, 0, request)
        codes = [topic.error_code for topic in answer.responses]
        assert codes == [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        assert await _described(asker) == {}
        assert await asker.broker.catalog.share_partitions.load_all() == []

    with_groups(body)
