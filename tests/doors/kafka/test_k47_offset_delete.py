import struct

import pytest

from headrace.doors.kafka.k47_offset_delete import API
from headrace.groups.requests import Commit, Join, OffsetToCommit, Sync
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k47_offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)


def request(group, **topics):
    return OffsetDeleteRequest(
        group_id=group,
        topics=[
            OffsetDeleteRequestTopic(name, [OffsetDeleteRequestPartition(p) for p in partitions])
            for name, partitions in topics.items()
        ],
    )


def codes(answer):
    return {
        (topic.name, partition.partition_index): partition.error_code
        for topic in answer.topics
        for partition in topic.partitions
    }


async def commit(asker, group, *pairs, member_id="", generation=-1):
    offsets = tuple(OffsetToCommit(topic, partition, 7, -1, "") for topic, partition in pairs)
    errors = await asker.broker.groups.commit(group, Commit(offsets, member_id, generation))
    assert errors == [0] * len(pairs)


async def enter(asker, protocol_type, metadata):
    groups = asker.broker.groups
    join = Join("", protocol_type, (("range", metadata),), 10_000, 10_000, "i")
    joined = await groups.join("g", join)
    sync = Sync(joined.member_id, joined.generation, ((joined.member_id, b"all"),))
    assert not (await groups.sync("g", sync)).error
    return joined


def test_offsets_of_an_empty_group_are_forgotten_for_good(with_groups):
    async def body(asker):
        await commit(asker, "g", ("t", 0), ("t", 1))
        answer = await asker.ask(API, 0, request("g", t=[0, 2, 3], nowhere=[0]))
        assert answer.error_code == 0
        assert codes(answer) == {
            ("t", 0): 0,
            ("t", 2): 0,
            ("t", 3): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            ("nowhere", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        }
        assert list(asker.broker.groups.offsets("g")) == [("t", 1)]

    async def after_a_restart(asker):
        assert list(asker.broker.groups.offsets("g")) == [("t", 1)]

    with_groups(body)
    with_groups(after_a_restart)


def test_topics_that_members_read_keep_their_offsets(with_groups):
    async def body(asker):
        await asker.broker.topics.ensure("u")
        subscription = struct.pack(">hih1si", 0, 1, 1, b"t", -1)
        joined = await enter(asker, "consumer", subscription)
        who = {"member_id": joined.member_id, "generation": joined.generation}
        await commit(asker, "g", ("t", 0), ("u", 0), **who)
        answer = await asker.ask(API, 0, request("g", t=[0], u=[0]))
        assert codes(answer) == {("t", 0): ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, ("u", 0): 0}
        assert list(asker.broker.groups.offsets("g")) == [("t", 0)]

    with_groups(body)


@pytest.mark.parametrize(
    ("protocol_type", "whole", "each"),
    [
        ("consumer", 0, {("t", 0): ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC}),
        ("connect", ErrorCode.NON_EMPTY_GROUP, {}),
    ],
)
def test_members_that_cannot_be_understood_keep_everything(with_groups, protocol_type, whole, each):
    async def body(asker):
        joined = await enter(asker, protocol_type, b"?")
        who = {"member_id": joined.member_id, "generation": joined.generation}
        await commit(asker, "g", ("t", 0), **who)
        answer = await asker.ask(API, 0, request("g", t=[0]))
        assert (answer.error_code, codes(answer)) == (whole, each)
        assert list(asker.broker.groups.offsets("g")) == [("t", 0)]

    with_groups(body)


def test_a_group_that_is_not_there_is_named_so(with_groups):
    async def body(asker):
        answer = await asker.ask(API, 0, request("none", t=[0]))
        assert (answer.error_code, answer.topics) == (ErrorCode.GROUP_ID_NOT_FOUND, [])
        answer = await asker.ask(API, 0, request("g" * 10_000, t=[0]))
        assert answer.error_code == ErrorCode.INVALID_GROUP_ID

    with_groups(body)
