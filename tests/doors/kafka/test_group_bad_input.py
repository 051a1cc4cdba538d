"""Bad input for groups, over a socket: the right code for who sent it, the group unharmed."""

import pytest

from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
)
from headrace.wire.messages.k11_join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from headrace.wire.messages.k12_heartbeat import HeartbeatRequest, HeartbeatResponse
from headrace.wire.messages.k13_leave_group import (
    LeaveGroupRequest,
    LeaveGroupRequestMember,
    LeaveGroupResponse,
)
from headrace.wire.messages.k14_sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)
from headrace.wire.messages.k15_describe_groups import (
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from headrace.wire.messages.k42_delete_groups import DeleteGroupsRequest, DeleteGroupsResponse
from headrace.wire.messages.k47_offset_delete import OffsetDeleteRequest, OffsetDeleteResponse

VERSIONS = {
    JoinGroupRequest: (JoinGroupResponse, 7),
    SyncGroupRequest: (SyncGroupResponse, 5),
    HeartbeatRequest: (HeartbeatResponse, 4),
    LeaveGroupRequest: (LeaveGroupResponse, 5),
    OffsetCommitRequest: (OffsetCommitResponse, 9),
    OffsetFetchRequest: (OffsetFetchResponse, 9),
    DescribeGroupsRequest: (DescribeGroupsResponse, 6),
    DeleteGroupsRequest: (DeleteGroupsResponse, 2),
    OffsetDeleteRequest: (OffsetDeleteResponse, 0),
}
LONG = "g" * 10_000
INSTANCE = "i"


def ask(client, request):
    response, version = VERSIONS[type(request)]
    return client.ask(request, response, version)


def join(group="g", member_id="", metadata=b"m", instance=INSTANCE, **rest):
    rest.setdefault("protocol_type", "consumer")
    rest.setdefault("protocols", [JoinGroupRequestProtocol("range", metadata)])
    rest.setdefault("session_timeout_ms", 10_000)
    return JoinGroupRequest(
        group_id=group,
        member_id=member_id,
        rebalance_timeout_ms=10_000,
        group_instance_id=instance,
        **rest,
    )


def sync(who, group="g", assignment=b"all"):
    made = SyncGroupRequestAssignment(who["member_id"], assignment)
    return SyncGroupRequest(group_id=group, assignments=[made], **who)


def beat(who, group="g"):
    return HeartbeatRequest(group_id=group, **who)


def commit(who, group="g", topic="t", partition=0, metadata=""):
    made = OffsetCommitRequestPartition(partition, 9, committed_metadata=metadata)
    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=who["generation_id"],
        member_id=who["member_id"],
        group_instance_id=who["group_instance_id"],
        topics=[OffsetCommitRequestTopic(name=topic, partitions=[made])],
    )


def leave(who, group="g"):
    member = LeaveGroupRequestMember(who["member_id"], who["group_instance_id"])
    return LeaveGroupRequest(group_id=group, members=[member])


def code(answer):
    """The one error code of an answer."""
    if isinstance(answer, OffsetCommitResponse):
        return answer.topics[0].partitions[0].error_code
    if isinstance(answer, LeaveGroupResponse) and answer.members:
        return answer.members[0].error_code
    for part in ("groups", "results"):
        if getattr(answer, part, None):
            return getattr(answer, part)[0].error_code
    return answer.error_code


@pytest.fixture
def group(broker, connect):
    """Stable group `g` of one static member, who committed offset 5: (client, who it is)."""
    broker.create_topic("t")
    client = connect(broker)
    joined = ask(client, join())
    who = {
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
        "group_instance_id": INSTANCE,
    }
    assert ask(client, sync(who)).assignment == b"all"
    return client, who


def is_unharmed(client, who):
    (described,) = ask(client, DescribeGroupsRequest(["g"])).groups
    (member,) = described.members
    return (
        described.group_state == "Stable"
        and (member.member_id, member.member_assignment) == (who["member_id"], b"all")
        and code(ask(client, beat(who))) == ErrorCode.NONE
    )


WRONG = {
    "wrong generation": ({"generation_id": 7}, ErrorCode.ILLEGAL_GENERATION),
    "unknown member": (
        {"member_id": "nobody", "group_instance_id": None},
        ErrorCode.UNKNOWN_MEMBER_ID,
    ),
    "unknown instance": ({"group_instance_id": "j"}, ErrorCode.UNKNOWN_MEMBER_ID),
    "fenced instance": ({"member_id": "before"}, ErrorCode.FENCED_INSTANCE_ID),
}


def wrong_requests():
    for what, (changed, error) in WRONG.items():
        for request_of in (beat, sync, commit, leave):
            if request_of is not leave or "generation_id" not in changed:  # which it does not name
                yield pytest.param(request_of, changed, error, id=f"{request_of.__name__}: {what}")


@pytest.mark.parametrize(("request_of", "changed", "error"), list(wrong_requests()))
def test_who_does_not_belong_is_told_why(group, request_of, changed, error):
    client, who = group
    assert code(ask(client, request_of({**who, **changed}))) == error
    assert is_unharmed(client, who)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (join(instance=None, member_id="nobody"), ErrorCode.UNKNOWN_MEMBER_ID),
        (join(member_id="before"), ErrorCode.FENCED_INSTANCE_ID),
        (join(instance="j", protocol_type="connect"), ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        (join(instance="j", protocols=[]), ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        (join(instance="j", session_timeout_ms=1), ErrorCode.INVALID_SESSION_TIMEOUT),
        (join(instance="j", metadata=b"x" * (2 << 20)), ErrorCode.INVALID_REQUEST),
        (join(instance="j" * 10_000), ErrorCode.INVALID_REQUEST),
    ],
)
def test_who_may_not_join_leaves_no_trace(group, request_, error):
    client, who = group
    assert code(ask(client, request_)) == error
    assert is_unharmed(client, who)


def test_an_assignment_too_large_is_refused(group):
    client, who = group
    # For the same metadata a lone leader that joins again leads the next generation.
    joined = ask(client, join(member_id=who["member_id"]))
    who["generation_id"] = joined.generation_id
    refused = ask(client, sync(who, assignment=b"x" * (2 << 20)))
    assert refused.error_code == ErrorCode.INVALID_REQUEST
    assert ask(client, sync(who)).assignment == b"all"
    assert is_unharmed(client, who)


def test_commits_are_refused_one_by_one(group):
    client, who = group
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert code(ask(client, commit(who, topic="nowhere"))) == unknown
    assert code(ask(client, commit(who, partition=1))) == unknown
    assert code(ask(client, commit(who, partition=-1))) == unknown
    too_large = ErrorCode.OFFSET_METADATA_TOO_LARGE
    assert code(ask(client, commit(who, metadata="é" * 2049))) == too_large
    groups = [OffsetFetchRequestGroup("g", topics=None)]
    (found,) = ask(client, OffsetFetchRequest(groups=groups)).groups
    assert found.topics == []
    assert is_unharmed(client, who)


def test_steps_out_of_turn_are_refused(group, connect, broker, until):
    client, who = group
    other = connect(broker)
    other.send_request(join(instance="j"), VERSIONS[JoinGroupRequest][1])
    calling_in = ErrorCode.REBALANCE_IN_PROGRESS
    until(lambda: code(ask(client, beat(who))) == calling_in, "the rebalance")
    assert code(ask(client, sync(who))) == calling_in
    joined = ask(client, join(member_id=who["member_id"]))
    who["generation_id"] = joined.generation_id
    assert code(ask(client, commit(who))) == calling_in  # before its assignment is known
    refused = ask(client, DeleteGroupsRequest(["g"]))
    assert code(refused) == ErrorCode.NON_EMPTY_GROUP
    _, second = other.read_answer(*VERSIONS[JoinGroupRequest])
    assert (second.error_code, second.generation_id) == (0, joined.generation_id)
    assert ask(client, sync(who)).assignment == b"all"
    assert code(ask(client, commit(who))) == ErrorCode.NONE


@pytest.mark.parametrize(
    "request_of",
    [
        lambda who: join(LONG, instance=None),
        lambda who: sync(who, LONG),
        lambda who: beat(who, LONG),
        lambda who: leave(who, LONG),
        lambda who: commit(who, LONG),
        lambda who: OffsetFetchRequest(groups=[OffsetFetchRequestGroup(LONG, topics=None)]),
        lambda who: DescribeGroupsRequest([LONG]),
        lambda who: DeleteGroupsRequest([LONG]),
        lambda who: OffsetDeleteRequest(LONG),
    ],
    ids=["join", "sync", "beat", "leave", "commit", "fetch", "describe", "delete", "forget"],
)
def test_a_group_id_of_ten_thousand_characters_is_invalid(group, request_of):
    client, who = group
    assert code(ask(client, request_of(who))) == ErrorCode.INVALID_GROUP_ID
    assert is_unharmed(client, who)
