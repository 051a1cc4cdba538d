from dataclasses import replace

import pytest

from headrace.groups.requests import JoinAnswer, JoinedMember
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode


def test_first_join_gets_an_id_and_the_second_enters(scene):
    token = scene.join(fresh="a")
    assert scene.answers[token] == JoinAnswer(ErrorCode.MEMBER_ID_REQUIRED, "a")
    assert scene.group.state is State.EMPTY

    token = scene.join("a")
    assert token not in scene.answers
    scene.wait(100)
    assert scene.answers[token] == JoinAnswer(
        member_id="a",
        generation=1,
        protocol_type="consumer",
        protocol="range",
        leader="a",
        members=(JoinedMember("a", None, b"m"),),
    )
    assert scene.group.state is State.COMPLETING


def test_client_that_knows_no_required_id_enters_at_once(scene):
    token = scene.join(fresh="old", accepts_member_id=False)
    scene.wait(100)
    assert scene.joined(token).member_id == "old"


def test_without_initial_delay_the_first_member_is_answered_at_once(scene):
    scene.group.settings = replace(scene.settings, initial_rebalance_delay_ms=0)
    assert scene.joined(scene.enter("a")).generation == 1


def test_members_that_come_together_share_the_first_generation(scene):
    first = scene.enter("a")
    scene.wait(60)
    second = scene.enter("b")
    scene.wait(60)  # the first delay is over, and somebody came meanwhile
    assert first not in scene.answers
    scene.wait(100)
    assert scene.joined(first).generation == scene.joined(second).generation == 1
    assert [member.member_id for member in scene.joined(first).members] == ["a", "b"]
    assert scene.joined(second).members == ()
    assert scene.joined(second).leader == "a"


def test_gathering_ends_although_members_keep_coming(scene):
    first = scene.enter("m0", rebalance_timeout_ms=1000)
    for number in range(1, 25):
        scene.wait(50)
        scene.enter(f"m{number}", rebalance_timeout_ms=1000)
    assert first in scene.answers


def test_new_member_waits_until_the_others_have_joined_again(stable_pair):
    token = stable_pair.enter("c")
    assert stable_pair.group.state is State.PREPARING
    assert stable_pair.heartbeat("a") is ErrorCode.REBALANCE_IN_PROGRESS
    again = stable_pair.join("a"), stable_pair.join("b")
    assert stable_pair.joined(token).generation == 2
    assert len(stable_pair.joined(again[0]).members) == 3
    assert stable_pair.joined(again[1]).members == ()


def test_dynamic_member_that_does_not_join_again_is_out(stable_pair):
    token = stable_pair.enter("c")
    again = stable_pair.join("b")
    for _ in range(12):
        stable_pair.wait(5000)
        stable_pair.heartbeat("a")
    assert stable_pair.joined(token).generation == 2
    assert stable_pair.joined(again).leader == "b"
    assert set(stable_pair.group.members) == {"b", "c"}
    assert stable_pair.heartbeat("a") is ErrorCode.UNKNOWN_MEMBER_ID


def test_pending_member_is_waited_for_and_lapses_with_its_session(stable_pair):
    stable_pair.join(fresh="ghost")
    token = stable_pair.join("a", protocols=[("range", b"new")])
    other = stable_pair.join("b")
    stable_pair.wait(9_999)
    assert token not in stable_pair.answers
    stable_pair.wait(1)
    assert stable_pair.joined(token).generation == stable_pair.joined(other).generation == 2
    unknown = stable_pair.join("ghost")
    assert stable_pair.answers[unknown] == JoinAnswer(ErrorCode.UNKNOWN_MEMBER_ID, "ghost")


def test_follower_that_joins_again_unchanged_disturbs_nobody(stable_pair):
    answer = stable_pair.joined(stable_pair.join("b"))
    assert (answer.generation, answer.leader, answer.members) == (1, "a", ())
    assert stable_pair.group.state is State.STABLE


def test_follower_with_other_metadata_causes_a_rebalance(stable_pair):
    token = stable_pair.join("b", protocols=[("range", b"more topics")])
    assert token not in stable_pair.answers
    leader = stable_pair.joined(stable_pair.join("a"))
    assert leader.generation == 2
    assert {m.member_id: m.metadata for m in leader.members}["b"] == b"more topics"


def test_leader_that_joins_again_causes_a_rebalance(stable_pair):
    token = stable_pair.join("a")
    assert token not in stable_pair.answers
    stable_pair.join("b")
    assert stable_pair.joined(token).generation == 2


def test_lost_join_answer_is_given_again_while_completing(scene):
    first, second = scene.enter("a"), scene.enter("b")
    scene.wait(200)
    assert scene.answers[scene.join("a")] == scene.answers[first]
    assert scene.answers[scene.join("b")] == scene.answers[second]
    assert scene.group.state is State.COMPLETING


def test_changed_join_while_completing_sends_everyone_back(scene):
    scene.enter("a"), scene.enter("b")
    scene.wait(200)
    synced = scene.sync("b")
    token = scene.join("a", protocols=[("range", b"other")])
    assert scene.answers[synced].error is ErrorCode.REBALANCE_IN_PROGRESS
    scene.join("b")
    assert scene.joined(token).generation == 2


def test_new_member_while_completing_starts_over(scene):
    scene.enter("a")
    scene.wait(100)
    token = scene.enter("b")
    assert scene.group.state is State.PREPARING
    assert scene.answers[scene.sync("a", {"a": b""})].error is ErrorCode.REBALANCE_IN_PROGRESS
    scene.join("a")
    assert scene.joined(token).generation == 2


def test_retried_join_replaces_the_one_before(stable_pair):
    first = stable_pair.join("a")
    second = stable_pair.join("a")
    assert stable_pair.answers[first].error is ErrorCode.REBALANCE_IN_PROGRESS
    stable_pair.join("b")
    assert stable_pair.joined(second).generation == 2


def test_new_member_that_nobody_answers_is_not_waited_for_for_ever(stable_pair):
    stable_pair.group.settings = replace(stable_pair.settings, new_member_join_timeout_ms=20_000)
    token = stable_pair.enter("c")
    for _ in range(4):
        stable_pair.wait(5_000)
        stable_pair.heartbeat("a"), stable_pair.heartbeat("b")
    assert stable_pair.answers[token].error is ErrorCode.UNKNOWN_MEMBER_ID
    assert "c" not in stable_pair.group.members


@pytest.mark.parametrize("timeout_ms", [5_999, 1_800_001, 0, -1])
def test_session_timeout_out_of_bounds_is_refused(scene, timeout_ms):
    token = scene.join(session_timeout_ms=timeout_ms)
    assert scene.answers[token].error is ErrorCode.INVALID_SESSION_TIMEOUT


@pytest.mark.parametrize(
    "what",
    [
        {"protocols": ()},
        {"protocol_type": ""},
    ],
)
def test_first_member_must_speak_a_protocol(scene, what):
    assert scene.answers[scene.join(**what)].error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


@pytest.mark.parametrize(
    "what",
    [
        {"protocols": ()},
        {"protocol_type": "connect"},
        {"protocols": [("sticky", b"")]},
    ],
)
def test_member_must_share_a_protocol_with_everyone(stable_pair, what):
    token = stable_pair.join(**what)
    assert stable_pair.answers[token].error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert stable_pair.group.state is State.STABLE


def test_unknown_member_id_is_refused(stable_pair):
    answer = stable_pair.answers[stable_pair.join("nobody")]
    assert answer == JoinAnswer(ErrorCode.UNKNOWN_MEMBER_ID, "nobody")


def test_full_group_refuses_one_more(stable_pair):
    stable_pair.group.settings = replace(stable_pair.settings, group_members_max=2)
    assert stable_pair.answers[stable_pair.join()].error is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert stable_pair.group.state is State.STABLE


def test_last_to_join_again_does_not_fit_into_a_group_that_was_made_smaller(stable_pair):
    stable_pair.group.settings = replace(stable_pair.settings, group_members_max=1)
    first = stable_pair.join("a")
    last = stable_pair.join("b")
    assert stable_pair.answers[last].error is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert stable_pair.joined(first).generation == 2
    assert set(stable_pair.group.members) == {"a"}


def test_ids_given_out_are_bounded(scene):
    scene.group.settings = replace(scene.settings, pending_members_max=3)
    codes = [scene.answers[scene.join(fresh=f"f{n}")].error for n in range(4)]
    assert codes == [ErrorCode.MEMBER_ID_REQUIRED] * 3 + [ErrorCode.GROUP_MAX_SIZE_REACHED]


def test_oversized_metadata_is_refused(scene):
    token = scene.join(protocols=[("range", bytes(scene.settings.member_bytes_max))])
    assert scene.answers[token].error is ErrorCode.INVALID_REQUEST


def test_overlong_instance_id_is_refused(scene):
    assert scene.answers[scene.join(instance="i" * 250)].error is ErrorCode.INVALID_REQUEST


def test_most_wanted_common_protocol_wins(scene):
    scene.enter("a", protocols=[("range", b""), ("sticky", b"")])
    scene.enter("b", protocols=[("sticky", b""), ("range", b"")])
    token = scene.enter("c", protocols=[("only-c", b""), ("sticky", b""), ("range", b"")])
    scene.wait(200)
    assert scene.joined(token).protocol == "sticky"


def test_draw_goes_to_the_leaders_choice(scene):
    token = scene.enter("a", protocols=[("x", b""), ("y", b"")])
    scene.enter("b", protocols=[("y", b""), ("x", b"")])
    scene.wait(200)
    assert scene.joined(token).protocol == "x"


def test_protocol_of_a_member_that_left_does_not_bind_the_others(stable_pair):
    stable_pair.leave("a")
    stable_pair.enter("c", protocols=[("range", b""), ("new", b"")])
    token = stable_pair.join("b", protocols=[("range", b""), ("new", b"")])
    assert stable_pair.joined(token).generation == 2
    assert stable_pair.group.supports("consumer", [("new", b"")])


def test_version_0_member_has_one_timeout_for_both(scene):
    scene.enter("a", rebalance_timeout_ms=-1)
    assert scene.group.members["a"].rebalance_timeout_ms == 10_000
