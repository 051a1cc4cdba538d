import pytest

from headrace.doors.kafka.k08_offset_commit import API as COMMIT
from headrace.doors.kafka.k15_describe_groups import API as DESCRIBE_CLASSIC
from headrace.doors.kafka.k16_list_groups import API as LIST
from headrace.doors.kafka.k42_delete_groups import API as DELETE
from headrace.doors.kafka.k47_offset_delete import API as DELETE_OFFSETS
from headrace.doors.kafka.k68_consumer_group_heartbeat import API as CONSUMER_HEARTBEAT
from headrace.doors.kafka.k69_consumer_group_describe import API as DESCRIBE_CONSUMER
from headrace.doors.kafka.k76_share_group_heartbeat import API
from headrace.doors.kafka.k77_share_group_describe import API as DESCRIBE
from headrace.groups.requests import Join
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from headrace.wire.messages.k15_describe_groups import DescribeGroupsRequest
from headrace.wire.messages.k16_list_groups import ListGroupsRequest
from headrace.wire.messages.k42_delete_groups import DeleteGroupsRequest
from headrace.wire.messages.k47_offset_delete import OffsetDeleteRequest
from headrace.wire.messages.k68_consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from headrace.wire.messages.k69_consumer_group_describe import ConsumerGroupDescribeRequest
from headrace.wire.messages.k76_share_group_heartbeat import (
    ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatTopicPartitions,
)
from headrace.wire.messages.k77_share_group_describe import ShareGroupDescribeRequest


def joining(**rest):
    given = {"group_id": "s", "member_id": "m", "subscribed_topic_names": ["t"]} | rest
    return ShareGroupHeartbeatRequest(**given)


def heartbeat(epoch):
    return ShareGroupHeartbeatRequest(group_id="s", member_id="m", member_epoch=epoch)


async def delete(asker, group_id):
    (result,) = (await asker.ask(DELETE, 2, DeleteGroupsRequest([group_id]))).results
    return result.error_code


def test_member_joins_stays_and_leaves(with_groups):
    async def body(asker):
        topic_id = asker.broker.topics.by_name["t"].id
        answer = await asker.ask(API, 1, joining())
        assert (answer.error_code, answer.member_id, answer.member_epoch) == (0, "m", 1)
        assert answer.heartbeat_interval_ms == 5_000
        mine = [ShareGroupHeartbeatTopicPartitions(topic_id, [0, 1, 2])]
        assert answer.assignment.topic_partitions == mine
        assert (await asker.ask(API, 1, heartbeat(1))).assignment is None
        answer = await asker.ask(API, 1, heartbeat(-1))
        assert (answer.error_code, answer.member_epoch) == (0, -1)
        assert asker.broker.groups.describe_share("s").members == ()

    with_groups(body)


def test_interval_and_session_of_a_group_can_be_set(with_groups):
    async def body(asker):
        own = {"share.heartbeat.interval.ms": "9000", "share.session.timeout.ms": "50000"}
        await asker.broker.group_configs.alter("s", lambda _: own, in_use=False)
        assert (await asker.ask(API, 1, joining())).heartbeat_interval_ms == 9_000
        assert asker.broker.groups.settings_of("s").share_session_timeout_ms == 50_000

    with_groups(body)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"group_id": "g" * 10_000}, ErrorCode.INVALID_GROUP_ID),
        ({"member_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"subscribed_topic_names": None}, ErrorCode.INVALID_REQUEST),
        ({"subscribed_topic_names": []}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": 3}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"member_epoch": -1}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"member_epoch": -2}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_is_refused_says_why_and_leaves_no_group(with_groups, bad, code):
    async def body(asker):
        answer = await asker.ask(API, 1, joining(**bad))
        assert answer.error_code == code
        assert answer.error_message
        assert not list(asker.broker.groups.list())

    with_groups(body)


def test_group_is_shown_as_what_it_is(with_groups):
    async def body(asker):
        topic_id = asker.broker.topics.by_name["t"].id
        await asker.ask(API, 1, joining(rack_id="r", subscribed_topic_names=["t", "gone"]))
        (listed,) = (await asker.ask(LIST, 5, ListGroupsRequest(types_filter=["Share"]))).groups
        assert (listed.group_type, listed.group_state) == ("share", "Stable")
        assert listed.protocol_type == "share"
        others = ListGroupsRequest(types_filter=["classic", "consumer"])
        assert (await asker.ask(LIST, 5, others)).groups == []
        request = ShareGroupDescribeRequest(["s", "none", ""], include_authorized_operations=True)
        shown, missing, empty = (await asker.ask(DESCRIBE, 1, request)).groups
        assert (shown.group_state, shown.group_epoch, shown.assignor_name) == (
            "Stable",
            1,
            "simple",
        )
        (member,) = shown.members
        assert (member.member_id, member.rack_id, member.member_epoch) == ("m", "r", 1)
        assert (member.client_id, member.client_host) == ("tests", "127.0.0.1")
        assert member.subscribed_topic_names == ["gone", "t"]
        (topic,) = member.assignment.topic_partitions
        assert (topic.topic_id, topic.topic_name) == (topic_id, "t")
        assert topic.partitions == [0, 1, 2]
        assert missing.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        assert empty.error_code == ErrorCode.INVALID_GROUP_ID
        (classic,) = (await asker.ask(DESCRIBE_CLASSIC, 6, DescribeGroupsRequest(["s"]))).groups
        assert classic.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        request = ConsumerGroupDescribeRequest(["s"])
        (consumer,) = (await asker.ask(DESCRIBE_CONSUMER, 1, request)).groups
        assert consumer.error_code == ErrorCode.GROUP_ID_NOT_FOUND

    with_groups(body)


def test_share_group_has_no_place_for_consumers_until_it_is_deleted(with_groups):
    async def body(asker):
        forgotten = []
        asker.broker.groups.when_forgotten(forgotten.append)
        await asker.ask(API, 1, joining())
        assert await delete(asker, "s") == ErrorCode.NON_EMPTY_GROUP
        await asker.ask(API, 1, heartbeat(-1))
        join = Join("", "consumer", (("range", b""),), 10_000, 10_000, accepts_member_id=False)
        refused = await asker.broker.groups.join("s", join)
        assert refused.error == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        consumer = ConsumerGroupHeartbeatRequest(
            "s", "c", rebalance_timeout_ms=1, subscribed_topic_names=["t"], topic_partitions=[]
        )
        answer = await asker.ask(CONSUMER_HEARTBEAT, 1, consumer)
        assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        topic = OffsetCommitRequestTopic(name="t", partitions=[OffsetCommitRequestPartition(0, 5)])
        commit = OffsetCommitRequest("s", -1, "", topics=[topic])
        (answered,) = (await asker.ask(COMMIT, 9, commit)).topics
        assert answered.partitions[0].error_code == ErrorCode.GROUP_ID_NOT_FOUND
        answer = await asker.ask(DELETE_OFFSETS, 0, OffsetDeleteRequest("s"))
        assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        assert forgotten == []
        assert await delete(asker, "s") == ErrorCode.NONE
        assert forgotten == ["s"]
        answer = await asker.ask(CONSUMER_HEARTBEAT, 1, consumer)
        assert answer.error_code == ErrorCode.NONE
        assert (await asker.ask(API, 1, joining())).error_code == ErrorCode.GROUP_ID_NOT_FOUND

    with_groups(body)


def test_group_with_members_and_offsets_of_another_kind_is_not_taken_over(with_groups, enter):
    async def body(asker):
        await enter(asker, "s")
        answer = await asker.ask(API, 1, joining())
        assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        topic = OffsetCommitRequestTopic(name="t", partitions=[OffsetCommitRequestPartition(0, 5)])
        await asker.ask(COMMIT, 9, OffsetCommitRequest("o", -1, "", topics=[topic]))
        answer = await asker.ask(API, 1, joining(group_id="o"))
        assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        assert "share" in answer.error_message

    with_groups(body)


def test_members_and_epochs_survive_a_restart(with_groups):
    async def before(asker):
        await asker.ask(API, 1, joining(rack_id="r"))
        return asker.broker.groups.describe_share("s")

    async def after(asker):
        shown = asker.broker.groups.describe_share("s")
        assert (await asker.ask(API, 1, heartbeat(1))).error_code == ErrorCode.NONE
        return shown

    assert with_groups(before) == with_groups(after)


def test_empty_group_is_kept_until_somebody_deletes_it(with_groups):
    async def body(asker):
        await asker.ask(API, 1, joining())
        await asker.ask(API, 1, heartbeat(-1))
        await asker.broker.groups.sweep()
        return [group.state.value for group in asker.broker.groups.list()]

    async def after(asker):
        return [group.state.value for group in asker.broker.groups.list()]

    assert with_groups(body) == with_groups(after) == ["Empty"]


def test_group_that_is_not_kept_goes_with_its_last_member(with_groups):
    async def body(asker):
        forgotten = []
        asker.broker.groups.when_forgotten(forgotten.append)
        own = {"headrace.group.durable": "false"}
        await asker.broker.group_configs.alter("s", lambda _: own, in_use=False)
        await asker.ask(API, 1, joining())
        assert forgotten == []
        await asker.ask(API, 1, heartbeat(-1))
        assert forgotten == ["s"]
        assert not list(asker.broker.groups.list())

    with_groups(body)
