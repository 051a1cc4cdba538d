import pytest

from headrace.groups.states import State
from headrace.wire.errors import ErrorCode


def test_followers_wait_for_the_leader(scene):
    scene.enter("a"), scene.enter("b"), scene.enter("c")
    scene.wait(200)
    early = scene.sync("b")
    assert early not in scene.answers
    leader = scene.sync("a", {"a": b"A", "b": b"B", "stranger": b"S"})
    assert scene.assignment(leader) == b"A"
    assert scene.assignment(early) == b"B"
    assert scene.assignment(scene.sync("c")) == b""  # the leader forgot it
    assert scene.answers[leader].protocol == "range"
    assert scene.group.state is State.STABLE


def test_assignments_of_a_follower_do_not_count(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    token = scene.sync("b", {"b": b"everything"})
    assert token not in scene.answers
    scene.sync("a", {"b": b"B"})
    assert scene.assignment(token) == b"B"


def test_late_sync_in_a_stable_group_reads_the_assignment(stable_pair):
    assert stable_pair.assignment(stable_pair.sync("a", {"a": b"changed"})) == b"a"


def test_sync_of_a_client_without_names_is_accepted(stable_pair):
    token = stable_pair.sync("b", protocol_type="consumer", protocol="range")
    assert stable_pair.assignment(token) == b"b"


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ({"member_id": "x"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"generation": 0}, ErrorCode.ILLEGAL_GENERATION),
        ({"generation": 2}, ErrorCode.ILLEGAL_GENERATION),
        ({"protocol_type": "connect"}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol": "sticky"}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"instance_id": "i"}, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_wrong_sync_is_refused_and_the_group_unharmed(stable_pair, what, error):
    token = stable_pair.sync(**{"member_id": "b"} | what)
    assert stable_pair.answers[token].error is error
    assert stable_pair.group.state is State.STABLE


def test_sync_during_a_rebalance_is_refused(stable_pair):
    stable_pair.enter("c")
    token = stable_pair.sync("a")
    assert stable_pair.answers[token].error is ErrorCode.REBALANCE_IN_PROGRESS


def test_oversized_assignment_is_refused(scene):
    scene.enter("a")
    scene.wait(100)
    token = scene.sync("a", {"a": bytes(scene.settings.member_bytes_max + 1)})
    assert scene.answers[token].error is ErrorCode.INVALID_REQUEST
    assert scene.group.state is State.COMPLETING


def test_leader_that_never_syncs_is_replaced(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    token = scene.sync("b")
    scene.wait(10_000)  # the leader's session ends; a member that waits has no session
    assert scene.answers[token].error is ErrorCode.REBALANCE_IN_PROGRESS
    again = scene.joined(scene.join("b"))
    assert (again.generation, again.leader) == (2, "b")


def test_member_that_heartbeats_and_never_syncs_is_removed(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    scene.sync("a", {})
    for _ in range(12):
        scene.wait(5_000)
        scene.heartbeat("a"), scene.heartbeat("b")
    assert set(scene.group.members) == {"a"}
    assert scene.group.state is State.PREPARING
    assert "no SyncGroup" in scene.group.rebalance_reason


def test_retried_sync_replaces_the_one_before(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    first, second = scene.sync("b"), scene.sync("b")
    assert scene.answers[first].error is ErrorCode.REBALANCE_IN_PROGRESS
    scene.sync("a", {"b": b"B"})
    assert scene.assignment(second) == b"B"


def test_member_that_waited_long_for_the_leader_is_not_late(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    scene.sync("b")
    for _ in range(4):
        scene.wait(8_000)
        scene.heartbeat("a")
    scene.sync("a", {"b": b"B"})
    scene.wait(9_000)
    assert scene.heartbeat("b") is ErrorCode.NONE


def test_old_assignments_end_with_their_generation(stable_pair):
    stable_pair.join("a"), stable_pair.join("b")
    assert stable_pair.group.state is State.COMPLETING
    assert [member.assignment for member in stable_pair.saved().members] == [b"", b""]
