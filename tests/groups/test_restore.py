"""A coordinator that restarts: clients go on as if nothing had been."""

from headrace.groups.states import State
from headrace.wire.errors import ErrorCode


def test_stable_group_goes_on_without_a_rebalance(stable_pair):
    stable_pair.restart()
    assert stable_pair.heartbeat("a", generation=1) is ErrorCode.NONE
    assert stable_pair.commit("b", 1) is ErrorCode.NONE
    assert stable_pair.assignment(stable_pair.sync("b")) == b"b"
    assert stable_pair.group.leader == "a"


def test_sessions_start_anew(stable_pair):
    stable_pair.wait(9_000)
    stable_pair.restart()
    stable_pair.wait(9_000)
    assert stable_pair.group.state is State.STABLE
    stable_pair.wait(1_000)
    assert stable_pair.group.state is State.EMPTY


def test_generation_that_was_announced_is_not_given_again(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    scene.restart()
    assert scene.group.state is State.COMPLETING
    token = scene.sync("b")
    scene.sync("a", {"b": b"B"})
    assert scene.assignment(token) == b"B"


def test_sync_phase_ends_after_a_restart_too(scene):
    scene.enter("a", session_timeout_ms=300_000), scene.enter("b", session_timeout_ms=300_000)
    scene.wait(200)
    scene.restart()
    scene.wait(60_000)
    assert scene.group.state is State.EMPTY


def test_member_that_left_does_not_come_back(stable_pair):
    stable_pair.leave("a")
    stable_pair.restart()
    assert stable_pair.group.state is State.PREPARING
    assert stable_pair.heartbeat("a") is ErrorCode.UNKNOWN_MEMBER_ID
    assert stable_pair.heartbeat("b") is ErrorCode.REBALANCE_IN_PROGRESS
    assert stable_pair.joined(stable_pair.join("b")).generation == 2


def test_new_members_are_not_saved_before_they_belong(stable_pair):
    stable_pair.enter("c")
    stable_pair.leave("a")
    assert [member.member_id for member in stable_pair.saved().members] == ["b"]


def test_empty_group_keeps_its_generation(stable_pair):
    stable_pair.leave("a", "b")
    stable_pair.restart()
    assert (stable_pair.group.state, stable_pair.group.generation) == (State.EMPTY, 2)
    token = stable_pair.enter("c")
    stable_pair.wait(100)
    assert stable_pair.joined(token).generation == 3


def test_static_members_keep_their_names(scene):
    scene.join(instance="one", fresh="a")
    scene.wait(100)
    scene.sync("a", {"a": b"A"})
    scene.restart()
    assert scene.joined(scene.join(instance="one", fresh="a2")).skip_assignment
    assert scene.assignment(scene.sync("a2")) == b"A"
