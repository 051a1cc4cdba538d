"""Static membership (KIP-345): a member that is known by its instance id."""

import struct

import pytest

from headrace.groups.requests import Leaving
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode


def subscription(*topics: str, user_data: bytes = b"") -> bytes:
    names = b"".join(struct.pack(">h", len(topic)) + topic.encode() for topic in topics)
    return (
        struct.pack(">hi", 1, len(topics)) + names + struct.pack(">i", len(user_data)) + user_data
    )


@pytest.fixture
def static_pair(scene):
    """Two static members, instances one (id a, leads) and two (id b)."""
    mine = [("range", subscription("t"))]
    scene.join(instance="one", fresh="a", protocols=mine)
    scene.join(instance="two", fresh="b", protocols=mine)
    scene.wait(200)
    scene.sync("a", {"a": b"A", "b": b"B"}, instance_id="one")
    scene.sync("b", instance_id="two")
    assert scene.group.state is State.STABLE
    return scene


def come_back(scene, instance, fresh, **rest):
    rest.setdefault("protocols", [("range", subscription("t", user_data=b"nothing owned"))])
    return scene.join(instance=instance, fresh=fresh, **rest)


def test_static_member_needs_no_second_join(scene):
    token = scene.join(instance="one", fresh="a")
    scene.wait(100)
    assert scene.joined(token).members[0].instance_id == "one"


def test_follower_that_comes_back_keeps_its_assignment_without_a_rebalance(static_pair):
    answer = static_pair.joined(come_back(static_pair, "two", "b2"))
    assert (answer.member_id, answer.generation, answer.leader) == ("b2", 1, "a")
    assert static_pair.group.state is State.STABLE
    assert static_pair.assignment(static_pair.sync("b2", instance_id="two")) == b"B"
    assert static_pair.saved().members[1].member_id == "b2"


def test_leader_that_comes_back_is_told_not_to_assign(static_pair):
    answer = static_pair.joined(come_back(static_pair, "one", "a2"))
    assert answer.leader == answer.member_id == "a2"
    assert answer.skip_assignment
    assert [member.member_id for member in answer.members] == ["b", "a2"]
    assert static_pair.assignment(static_pair.sync("a2", {}, instance_id="one")) == b"A"


def test_leader_of_an_old_version_is_told_that_its_predecessor_leads(static_pair):
    answer = static_pair.joined(come_back(static_pair, "one", "a2", skips_assignment=False))
    assert (answer.leader, answer.skip_assignment, answer.members) == ("a", False, ())
    assert static_pair.group.leader == "a2"


def test_old_process_is_fenced_once_its_successor_came(static_pair):
    come_back(static_pair, "two", "b2")
    assert static_pair.heartbeat("b", instance_id="two") is ErrorCode.FENCED_INSTANCE_ID
    assert static_pair.heartbeat("b") is ErrorCode.UNKNOWN_MEMBER_ID
    token = static_pair.join("b", instance="two")
    assert static_pair.answers[token].error is ErrorCode.FENCED_INSTANCE_ID
    token = static_pair.sync("b", instance_id="two")
    assert static_pair.answers[token].error is ErrorCode.FENCED_INSTANCE_ID
    assert static_pair.leave(Leaving("b", "two")) == (ErrorCode.FENCED_INSTANCE_ID,)
    assert static_pair.group.state is State.STABLE


def test_member_that_comes_back_for_other_topics_causes_a_rebalance(static_pair):
    mine = [("range", subscription("t", "u"))]
    token = come_back(static_pair, "two", "b2", protocols=mine)
    assert token not in static_pair.answers
    static_pair.join("a", instance="one")
    assert static_pair.joined(token).generation == 2


def test_member_that_changes_the_vote_causes_a_rebalance(static_pair):
    both = [("new", subscription("t")), ("range", subscription("t"))]
    for member_id, instance in (("a", "one"), ("b", "two")):
        static_pair.join(member_id, instance=instance, protocols=list(reversed(both)))
    static_pair.sync("a", {}, instance_id="one")
    static_pair.sync("b", instance_id="two")
    assert static_pair.group.protocol == "range"
    assert static_pair.group.state is State.STABLE
    come_back(static_pair, "one", "a2", protocols=both)
    assert static_pair.group.state is State.PREPARING


def test_group_that_is_no_consumer_group_compares_bytes(scene):
    worker = {"protocol_type": "connect", "protocols": [("v1", b"x")]}
    scene.join(instance="one", fresh="a", **worker)
    scene.wait(100)
    scene.sync("a", {})
    assert scene.joined(scene.join(instance="one", fresh="a2", **worker)).generation == 1
    worker["protocols"] = [("v1", b"y")]
    token = scene.join(instance="one", fresh="a3", **worker)
    assert scene.joined(token).generation == 2


def test_successor_in_the_join_phase_fences_who_waits(static_pair):
    waiting = static_pair.join("b", instance="two", protocols=[("range", subscription("new"))])
    token = come_back(static_pair, "two", "b2")
    assert static_pair.answers[waiting].error is ErrorCode.FENCED_INSTANCE_ID
    static_pair.join("a", instance="one")
    assert static_pair.joined(token).generation == 2


def test_successor_in_the_sync_phase_starts_over_and_fences_who_waits(scene):
    scene.join(instance="one", fresh="a"), scene.join(instance="two", fresh="b")
    scene.wait(200)
    waiting = scene.sync("b", instance_id="two")
    token = scene.join(instance="two", fresh="b2")
    assert scene.answers[waiting].error is ErrorCode.FENCED_INSTANCE_ID
    scene.join("a", instance="one")
    assert scene.joined(token).generation == 2


def test_static_member_that_is_away_keeps_its_place_in_a_rebalance(static_pair):
    mine = [("range", subscription("t"))]
    static_pair.enter("c", protocols=mine, session_timeout_ms=300_000)
    static_pair.group.members["b"].session_timeout_ms = 300_000
    static_pair.heartbeat("b")
    leader = static_pair.join("a", instance="one", protocols=mine)
    static_pair.wait(60_000)
    roster = static_pair.joined(leader).members
    assert {member.member_id for member in roster} == {"a", "b", "c"}


def test_group_whose_static_members_are_all_away_waits_for_their_sessions(static_pair):
    static_pair.group.members["a"].session_timeout_ms = 300_000
    static_pair.group.members["b"].session_timeout_ms = 300_000
    static_pair.heartbeat("a"), static_pair.heartbeat("b")
    static_pair.join("a", instance="one")
    static_pair.group.awaiting_join.clear()  # as after a restart in the join phase
    static_pair.wait(200_000)
    assert (static_pair.group.generation, static_pair.group.state) == (1, State.PREPARING)
    static_pair.wait(200_000)
    assert (static_pair.group.generation, static_pair.group.state) == (2, State.EMPTY)


def test_administrator_removes_static_members_by_instance_id(static_pair):
    codes = static_pair.leave(Leaving("", "one"), Leaving("", "nobody"), Leaving("", None))
    assert codes == (
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.UNKNOWN_MEMBER_ID,
    )
    assert set(static_pair.group.members) == {"b"}


def test_instance_id_does_not_let_a_pending_member_in_twice(static_pair):
    static_pair.join(fresh="p", protocols=[("range", b"")])
    token = static_pair.join("p", instance="two", protocols=[("range", b"")])
    assert static_pair.answers[token].error is ErrorCode.FENCED_INSTANCE_ID


def test_leader_that_is_away_does_not_lead_the_next_generation(static_pair):
    mine = [("range", subscription("t"))]
    static_pair.enter("c", protocols=mine, session_timeout_ms=300_000)
    static_pair.group.members["a"].session_timeout_ms = 300_000
    static_pair.heartbeat("a")
    token = static_pair.join("b", instance="two", protocols=mine)
    static_pair.wait(60_000)
    assert static_pair.joined(token).leader in ("b", "c")
    assert set(static_pair.group.members) == {"a", "b", "c"}
