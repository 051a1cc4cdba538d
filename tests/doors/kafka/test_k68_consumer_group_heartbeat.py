import pytest

from headrace.doors.kafka.k08_offset_commit import API as COMMIT
from headrace.doors.kafka.k09_offset_fetch import API as FETCH
from headrace.doors.kafka.k15_describe_groups import API as DESCRIBE_CLASSIC
from headrace.doors.kafka.k16_list_groups import API as LIST
from headrace.doors.kafka.k42_delete_groups import API as DELETE
from headrace.doors.kafka.k68_consumer_group_heartbeat import API
from headrace.doors.kafka.k69_consumer_group_describe import API as DESCRIBE
from headrace.groups.assignment import packed_assignment
from headrace.groups.requests import Join, Sync
from headrace.testing.scripted_coordinator import packed_subscription
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from headrace.wire.messages.k15_describe_groups import DescribeGroupsRequest
from headrace.wire.messages.k16_list_groups import ListGroupsRequest
from headrace.wire.messages.k42_delete_groups import DeleteGroupsRequest
from headrace.wire.messages.k68_consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatTopicPartitions,
)
from headrace.wire.messages.k69_consumer_group_describe import ConsumerGroupDescribeRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


def joining(**rest):
    given = {
        "group_id": "g",
        "member_id": "m",
        "rebalance_timeout_ms": 10_000,
        "subscribed_topic_names": ["t"],
        "topic_partitions": [],
    } | rest
    return ConsumerGroupHeartbeatRequest(**given)


@pytest.mark.parametrize("version", VERSIONS)
def test_member_joins_stays_and_leaves(with_groups, version):
    async def body(asker):
        topic_id = asker.broker.topics.by_name["t"].id
        answer = await asker.ask(API, version, joining())
        assert (answer.error_code, answer.member_id, answer.member_epoch) == (0, "m", 1)
        assert answer.heartbeat_interval_ms == 5_000
        mine = [ConsumerGroupHeartbeatTopicPartitions(topic_id, [0, 1, 2])]
        assert answer.assignment.topic_partitions == mine
        stay = ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=1)
        stay.topic_partitions = mine
        assert (await asker.ask(API, version, stay)).assignment is None
        leave = ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=-1)
        answer = await asker.ask(API, version, leave)
        assert (answer.error_code, answer.member_epoch) == (0, -1)
        assert asker.broker.groups.describe_consumer("g").members == ()

    with_groups(body)


def test_members_hear_at_their_next_report_how_often_their_group_shall_report(with_groups):
    async def body(asker):
        configs = asker.broker.group_configs
        interval = {"consumer.heartbeat.interval.ms": "9000"}
        await configs.alter("g", lambda _: interval, in_use=False)
        assert (await asker.ask(API, 1, joining())).heartbeat_interval_ms == 9_000
        assert (await asker.ask(API, 1, joining(group_id="h"))).heartbeat_interval_ms == 5_000
        await configs.alter("g", lambda _: {}, in_use=True)
        stay = ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=1)
        assert (await asker.ask(API, 1, stay)).heartbeat_interval_ms == 5_000

    with_groups(body)


def test_v0_gives_ids_and_v1_wants_them(with_groups):
    async def body(asker):
        answer = await asker.ask(API, 0, joining(member_id=""))
        assert answer.error_code == 0
        assert answer.member_id
        answer = await asker.ask(API, 1, joining(member_id=""))
        assert answer.error_code == ErrorCode.INVALID_REQUEST

    with_groups(body)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"group_id": "g" * 10_000}, ErrorCode.INVALID_GROUP_ID),
        ({"subscribed_topic_regex": "(", "subscribed_topic_names": None},
         ErrorCode.INVALID_REGULAR_EXPRESSION),
        ({"server_assignor": "best"}, ErrorCode.UNSUPPORTED_ASSIGNOR),
        ({"member_epoch": 3}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"topic_partitions": [ConsumerGroupHeartbeatTopicPartitions(None, [1])]},
         ErrorCode.INVALID_REQUEST),
    ],
)  # fmt: skip
def test_what_is_refused_says_why_and_leaves_no_group(with_groups, bad, code):
    async def body(asker):
        answer = await asker.ask(API, 1, joining(**bad))
        assert answer.error_code == code
        assert answer.error_message
        assert not list(asker.broker.groups.list())

    with_groups(body)


def test_classic_group_with_members_is_not_taken_over(with_groups, enter):
    async def body(asker):
        await enter(asker)
        answer = await asker.ask(API, 1, joining())
        assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        assert "classic" in answer.error_message
        assert len(asker.broker.groups.describe("g").members) == 1

    with_groups(body)


def test_mixed_group_is_shown_with_the_protocol_of_each_member(with_groups):
    async def body(asker):
        groups = asker.broker.groups
        protocols = (("range", packed_subscription(["t"])),)
        join = Join("", "consumer", protocols, 10_000, 10_000, accepts_member_id=False)
        old = await groups.join("g", join)
        given = packed_assignment(frozenset(("t", index) for index in range(3)), 3)
        await groups.sync("g", Sync(old.member_id, 1, ((old.member_id, given),)))
        answer = await asker.ask(API, 1, joining())
        assert (answer.error_code, answer.member_epoch) == (ErrorCode.NONE, 2)
        (listed,) = (await asker.ask(LIST, 5, ListGroupsRequest())).groups
        assert (listed.group_type, listed.group_state) == ("consumer", "Reconciling")
        request = ConsumerGroupDescribeRequest(["g"])
        (shown,) = (await asker.ask(DESCRIBE, 1, request)).groups
        members = {member.member_id: member for member in shown.members}
        assert (members["m"].member_epoch, members["m"].member_type) == (2, 1)
        classic = members[old.member_id]
        assert (classic.member_epoch, classic.member_type) == (1, 0)
        assert classic.subscribed_topic_names == ["t"]
        assert classic.assignment.topic_partitions[0].partitions == [0, 1, 2]
        for member, epoch, code in [
            ("m", 1, ErrorCode.STALE_MEMBER_EPOCH),
            (old.member_id, 2, ErrorCode.ILLEGAL_GENERATION),
            (old.member_id, 1, ErrorCode.NONE),
        ]:
            assert groups.check_reader("g", member, epoch) is code

    with_groups(body)


@pytest.mark.parametrize("enough", [True, False])
def test_policy_decides_whether_a_group_changes_its_kind(with_broker, enough):
    async def body(asker):
        protocols = (("range", packed_subscription(["t"])),)
        join = Join("", "consumer", protocols, 10_000, 10_000, accepts_member_id=False)
        await asker.broker.groups.join("g", join)
        answer = await asker.ask(API, 1, joining())
        expected = ErrorCode.NONE if enough else ErrorCode.GROUP_ID_NOT_FOUND
        assert answer.error_code == expected

    policy = "upgrade" if enough else "downgrade"
    configs = {
        "group.consumer.migration.policy": policy,
        "group.initial.rebalance.delay.ms": "0",
    }
    with_broker(body, broker_configs=configs)


def test_group_is_shown_as_what_it_is(with_groups):
    async def body(asker):
        topic_id = asker.broker.topics.by_name["t"].id
        await asker.ask(API, 1, joining(rack_id="r", instance_id="i"))
        (listed,) = (await asker.ask(LIST, 5, ListGroupsRequest())).groups
        assert (listed.group_type, listed.group_state) == ("consumer", "Stable")
        filtered = await asker.ask(LIST, 5, ListGroupsRequest(types_filter=["Classic"]))
        assert filtered.groups == []
        request = ConsumerGroupDescribeRequest(["g", "none"], include_authorized_operations=True)
        shown, missing = (await asker.ask(DESCRIBE, 1, request)).groups
        assert (shown.group_epoch, shown.assignment_epoch, shown.assignor_name) == (1, 1, "uniform")
        (member,) = shown.members
        assert (member.member_id, member.instance_id, member.rack_id) == ("m", "i", "r")
        assert (member.member_epoch, member.member_type) == (1, 1)
        for assignment in (member.assignment, member.target_assignment):
            (topic,) = assignment.topic_partitions
            assert (topic.topic_id, topic.topic_name) == (topic_id, "t")
            assert topic.partitions == [0, 1, 2]
        assert missing.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        (classic,) = (await asker.ask(DESCRIBE_CLASSIC, 6, DescribeGroupsRequest(["g"]))).groups
        assert classic.error_code == ErrorCode.GROUP_ID_NOT_FOUND
        (refused,) = (await asker.ask(DELETE, 2, DeleteGroupsRequest(["g"]))).results
        assert refused.error_code == ErrorCode.NON_EMPTY_GROUP

    with_groups(body)


@pytest.mark.parametrize(
    ("version", "member", "epoch", "code"),
    [
        (9, "m", 1, ErrorCode.NONE),
        (9, "m", 0, ErrorCode.STALE_MEMBER_EPOCH),
        (9, "n", 1, ErrorCode.UNKNOWN_MEMBER_ID),
        (8, "m", 0, ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_commits_and_fetches_are_checked_by_epoch(with_groups, version, member, epoch, code):
    async def body(asker):
        await asker.ask(API, 1, joining())
        topic = OffsetCommitRequestTopic(name="t", partitions=[OffsetCommitRequestPartition(0, 5)])
        commit = OffsetCommitRequest("g", epoch, member, topics=[topic])
        (answered,) = (await asker.ask(COMMIT, version, commit)).topics
        assert answered.partitions[0].error_code == code
        if version >= 9:
            wanted = [OffsetFetchRequestTopics(name="t", partition_indexes=[0])]
            fetch = OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", member, epoch, wanted)])
            (group,) = (await asker.ask(FETCH, version, fetch)).groups
            assert group.error_code == code
        tool = OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", None, -1, None)])
        assert (await asker.ask(FETCH, 9, tool)).groups[0].error_code == ErrorCode.NONE

    with_groups(body)


def test_members_and_epochs_survive_a_restart(with_groups):
    async def before(asker):
        await asker.ask(API, 1, joining(subscribed_topic_regex="t|u.*"))
        return asker.broker.groups.describe_consumer("g")

    async def after(asker):
        shown = asker.broker.groups.describe_consumer("g")
        await asker.ask(API, 1, joining(member_epoch=1, topic_partitions=None))
        return shown

    assert with_groups(before) == with_groups(after)
