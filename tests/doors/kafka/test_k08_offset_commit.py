from uuid import uuid4

import pytest

from headrace.doors.kafka.k08_offset_commit import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


def commit(asker, *offsets, topic="t", group="g", **rest):
    """Partition n is committed at the n-th of `offsets`."""
    known = asker.broker.topics.by_name.get(topic)
    partitions = [
        OffsetCommitRequestPartition(
            partition_index=index,
            committed_offset=offset,
            committed_leader_epoch=0,
            committed_metadata=rest.get("metadata", f"m{index}"),
        )
        for index, offset in enumerate(offsets)
    ]
    named = OffsetCommitRequestTopic(
        name=topic, topic_id=known.id if known else uuid4(), partitions=partitions
    )
    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=rest.get("generation", -1),
        member_id=rest.get("member_id", ""),
        topics=[named],
    )


def codes(answer):
    return [partition.error_code for topic in answer.topics for partition in topic.partitions]


@pytest.mark.parametrize("version", VERSIONS)
def test_offsets_are_kept_over_a_restart(with_groups, version):
    async def write(asker):
        answer = await asker.ask(API, version, commit(asker, 5, 6))
        assert codes(answer) == [0, 0]
        (topic,) = answer.topics
        known = asker.broker.topics.by_name["t"]
        assert topic.topic_id == known.id if version >= 10 else topic.name == "t"

    async def read(asker):
        offsets = asker.broker.groups.offsets("g")
        assert {pair: (kept.offset, kept.metadata) for pair, kept in offsets.items()} == {
            ("t", 0): (5, "m0"),
            ("t", 1): (6, "m1"),
        }

    with_groups(write)
    with_groups(read)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_partition_has_its_own_error(with_groups, version):
    async def body(asker):
        answer = await asker.ask(API, version, commit(asker, 1, 2, 3, 4))
        assert codes(answer) == [0, 0, 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        answer = await asker.ask(API, version, commit(asker, 1, topic="nowhere"))
        unknown = (
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if version < 10 else ErrorCode.UNKNOWN_TOPIC_ID
        )
        assert codes(answer) == [unknown]
        answer = await asker.ask(API, version, commit(asker, 1, metadata="x" * 4097))
        assert codes(answer) == [ErrorCode.OFFSET_METADATA_TOO_LARGE]

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS)
def test_members_commit_and_strangers_do_not(with_groups, enter, version):
    async def body(asker):
        member_id = await enter(asker)

        async def code(**who):
            return codes(await asker.ask(API, version, commit(asker, 1, **who)))[0]

        assert await code(member_id=member_id, generation=1) == 0
        assert await code(member_id=member_id, generation=0) == ErrorCode.ILLEGAL_GENERATION
        assert await code(member_id="x", generation=1) == ErrorCode.UNKNOWN_MEMBER_ID
        assert await code() == ErrorCode.UNKNOWN_MEMBER_ID
        missing = ErrorCode.GROUP_ID_NOT_FOUND if version >= 9 else ErrorCode.ILLEGAL_GENERATION
        assert await code(group="none", member_id="x", generation=1) == missing

    with_groups(body)


def test_null_metadata_is_empty(with_groups):
    async def body(asker):
        assert codes(await asker.ask(API, 7, commit(asker, 1, metadata=None))) == [0]
        assert asker.broker.groups.offsets("g")["t", 0].metadata == ""

    with_groups(body)


def test_overlong_group_id_is_refused(with_groups):
    async def body(asker):
        answer = await asker.ask(API, 7, commit(asker, 1, 2, group="g" * 10_000))
        assert codes(answer) == [ErrorCode.INVALID_GROUP_ID] * 2

    with_groups(body)


def test_offsets_go_with_their_topic(with_groups):
    async def body(asker):
        await asker.ask(API, 7, commit(asker, 5))
        await asker.broker.topics.delete("t")
        await asker.broker.topics.ensure("t")
        assert asker.broker.groups.offsets("g") == {}

    with_groups(body)
