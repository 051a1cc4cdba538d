import pytest

from headrace.groups.changes import GroupDeleted, OffsetsCommitted
from headrace.groups.requests import Leaving
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode


def test_heartbeat_keeps_a_member(stable_pair):
    for _ in range(10):
        stable_pair.wait(9_999)
        assert stable_pair.heartbeat("a") is ErrorCode.NONE
        assert stable_pair.heartbeat("b") is ErrorCode.NONE
    assert stable_pair.group.state is State.STABLE


def test_silent_member_is_removed_when_its_session_ends(stable_pair):
    stable_pair.wait(5_000)
    stable_pair.heartbeat("a")
    stable_pair.wait(5_000)
    assert set(stable_pair.group.members) == {"a"}
    assert stable_pair.heartbeat("a") is ErrorCode.REBALANCE_IN_PROGRESS
    assert stable_pair.heartbeat("b") is ErrorCode.UNKNOWN_MEMBER_ID
    assert stable_pair.group.rebalance_reason == "no heartbeat from b"


def test_group_empties_when_everybody_falls_silent(stable_pair):
    stable_pair.wait(10_000)
    assert stable_pair.group.state is State.EMPTY
    assert stable_pair.saved().state is State.EMPTY
    assert stable_pair.saved().generation == 2
    assert stable_pair.next_deadline_ms is None


def test_heartbeats_count_between_join_and_sync(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    assert scene.heartbeat("b") is ErrorCode.NONE


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ({"member_id": "x"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"generation": 0}, ErrorCode.ILLEGAL_GENERATION),
        ({"instance_id": "i"}, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_wrong_heartbeat_is_refused(stable_pair, what, error):
    assert stable_pair.heartbeat(**{"member_id": "a"} | what) is error


def test_last_member_that_leaves_empties_the_group(stable_pair):
    assert stable_pair.leave("b") == (ErrorCode.NONE,)
    assert stable_pair.group.state is State.PREPARING
    assert stable_pair.leave("a") == (ErrorCode.NONE,)
    assert stable_pair.group.state is State.EMPTY


def test_batch_leave_answers_each_member(stable_pair):
    codes = stable_pair.leave("a", "x", Leaving("b", "i"))
    assert codes == (
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.UNKNOWN_MEMBER_ID,
    )


def test_leave_that_removes_nobody_disturbs_nobody(stable_pair):
    stable_pair.leave("x")
    assert stable_pair.group.state is State.STABLE


def test_pending_member_that_leaves_is_no_longer_waited_for(stable_pair):
    stable_pair.join(fresh="ghost")
    assert stable_pair.group.state is State.STABLE
    stable_pair.join("a"), stable_pair.join("b")
    assert stable_pair.group.state is State.PREPARING
    assert stable_pair.leave("ghost") == (ErrorCode.NONE,)
    assert stable_pair.group.state is State.COMPLETING


def test_pending_member_that_leaves_a_stable_group_disturbs_nobody(stable_pair):
    stable_pair.join(fresh="ghost")
    stable_pair.leave("ghost")
    assert stable_pair.group.state is State.STABLE


def test_requests_of_a_member_that_is_removed_are_answered(stable_pair):
    joining = stable_pair.join("a")
    stable_pair.leave("a")
    assert stable_pair.answers[joining].error is ErrorCode.UNKNOWN_MEMBER_ID


def test_member_commits(stable_pair):
    assert stable_pair.commit("a", 1) is ErrorCode.NONE
    change = stable_pair.changes[-1]
    assert isinstance(change, OffsetsCommitted)
    assert change.offsets[0].offset == 7


def test_commit_keeps_a_member(stable_pair):
    for _ in range(3):
        stable_pair.wait(9_000)
        stable_pair.commit("a", 1), stable_pair.commit("b", 1)
    assert stable_pair.group.state is State.STABLE


def test_members_may_commit_while_they_are_called_in(stable_pair):
    stable_pair.enter("c")
    assert stable_pair.commit("a", 1) is ErrorCode.NONE


def test_commit_before_the_assignment_is_known_is_refused(scene):
    scene.enter("a")
    scene.wait(100)
    assert scene.commit("a", 1) is ErrorCode.REBALANCE_IN_PROGRESS


@pytest.mark.parametrize(
    ("member_id", "generation", "error"),
    [
        ("a", 0, ErrorCode.ILLEGAL_GENERATION),
        ("a", -1, ErrorCode.ILLEGAL_GENERATION),
        ("x", 1, ErrorCode.UNKNOWN_MEMBER_ID),
        ("", -1, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_wrong_commit_changes_nothing(stable_pair, member_id, generation, error):
    before = list(stable_pair.changes)
    assert stable_pair.commit(member_id, generation) is error
    assert stable_pair.changes == before


def test_consumer_without_a_group_commits_while_it_is_empty(scene):
    assert scene.commit() is ErrorCode.NONE
    assert scene.group.protocol_type is None
    assert scene.commit("", 3) is ErrorCode.UNKNOWN_MEMBER_ID


def test_empty_group_is_deleted(scene):
    scene.commit()
    assert scene.delete() is ErrorCode.NONE
    assert scene.changes[-1] == GroupDeleted("g")
    assert scene.group.state is State.DEAD


def test_group_with_members_is_not_deleted(stable_pair):
    assert stable_pair.delete() is ErrorCode.NON_EMPTY_GROUP
    assert stable_pair.group.state is State.STABLE
