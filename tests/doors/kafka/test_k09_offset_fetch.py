from uuid import uuid4

import pytest

from headrace.doors.kafka.k09_offset_fetch import API
from headrace.groups.requests import Commit, OffsetToCommit
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)
GROUPED = range(8, API.versions[1] + 1)


async def commit(asker, *offsets, group="g"):
    committed = tuple(OffsetToCommit("t", *offset, 3, "note") for offset in offsets)
    assert not any(await asker.broker.groups.commit(group, Commit(committed)))


async def fetch(asker, version, partitions, group="g"):
    """{partition: (offset, epoch, metadata, error)} of topic t; partitions None asks for all."""
    topic_id = asker.broker.topics.by_name["t"].id
    if version < 8:
        topics = (
            None
            if partitions is None
            else [OffsetFetchRequestTopic(name="t", partition_indexes=partitions)]
        )
        answer = await asker.ask(API, version, OffsetFetchRequest(group_id=group, topics=topics))
    else:
        topics = (
            None
            if partitions is None
            else [
                OffsetFetchRequestTopics(name="t", topic_id=topic_id, partition_indexes=partitions)
            ]
        )
        asked = OffsetFetchRequestGroup(group_id=group, topics=topics)
        (answer,) = (await asker.ask(API, version, OffsetFetchRequest(groups=[asked]))).groups
    assert answer.error_code == 0
    for topic in answer.topics:
        assert topic.topic_id == topic_id if version >= 10 else topic.name == "t"
    return {
        found.partition_index: (
            found.committed_offset,
            found.committed_leader_epoch,
            found.metadata,
            found.error_code,
        )
        for topic in answer.topics
        for found in topic.partitions
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_committed_and_missing_offsets(with_groups, version):
    async def body(asker):
        await commit(asker, (0, 7), (2, 9))
        epoch = 3 if version >= 5 else -1
        assert await fetch(asker, version, [0, 1]) == {
            0: (7, epoch, "note", 0),
            1: (-1, -1, "", 0),
        }
        assert await fetch(asker, version, [0], group="none") == {0: (-1, -1, "", 0)}

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_null_topics_is_everything(with_groups, version):
    async def body(asker):
        assert await fetch(asker, version, None) == {}
        await commit(asker, (0, 7), (2, 9))
        assert set(await fetch(asker, version, None)) == {0, 2}

    with_groups(body)


@pytest.mark.parametrize("version", GROUPED)
def test_many_groups_in_one_request(with_groups, version):
    async def body(asker):
        await commit(asker, (0, 1), group="g1")
        await commit(asker, (0, 2), group="g2")
        groups = [
            OffsetFetchRequestGroup(group_id=group, topics=None)
            for group in ("g1", "g2", "g" * 300)
        ]
        answer = await asker.ask(
            API, version, OffsetFetchRequest(groups=groups, require_stable=True)
        )
        assert [group.group_id for group in answer.groups] == ["g1", "g2", "g" * 300]
        assert [group.error_code for group in answer.groups] == [0, 0, ErrorCode.INVALID_GROUP_ID]
        offsets = [group.topics[0].partitions[0].committed_offset for group in answer.groups[:2]]
        assert offsets == [1, 2]

    with_groups(body)


def test_unknown_topic_id_is_an_error(with_groups):
    async def body(asker):
        topics = [OffsetFetchRequestTopics(topic_id=uuid4(), partition_indexes=[0])]
        asked = OffsetFetchRequestGroup(group_id="g", topics=topics)
        answer = await asker.ask(API, 10, OffsetFetchRequest(groups=[asked]))
        (found,) = answer.groups[0].topics[0].partitions
        assert (found.committed_offset, found.error_code) == (-1, ErrorCode.UNKNOWN_TOPIC_ID)

    with_groups(body)


@pytest.mark.parametrize("version", range(1, 8))
def test_overlong_group_id_is_refused(with_groups, version):
    async def body(asker):
        topics = [OffsetFetchRequestTopic(name="t", partition_indexes=[0])]
        request = OffsetFetchRequest(group_id="g" * 300, topics=topics)
        answer = await asker.ask(API, version, request)
        assert answer.topics[0].partitions[0].error_code == ErrorCode.INVALID_GROUP_ID
        if version >= 2:
            assert answer.error_code == ErrorCode.INVALID_GROUP_ID

    with_groups(body)
