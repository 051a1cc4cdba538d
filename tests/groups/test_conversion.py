"""Groups that become of another kind with their members in them, one scene at a time."""

import struct
from typing import Any
from uuid import UUID

import pytest

from headrace.groups.assignment import assigned_partitions, packed_assignment
from headrace.groups.changes import GroupRecord
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_records import ConsumerGroupRecord
from headrace.groups.consumer_requests import JOIN, LEAVE, ConsumerHeartbeat
from headrace.groups.group import Group
from headrace.groups.requests import (
    Commit,
    Heartbeat,
    Join,
    JoinAnswer,
    Leave,
    Leaving,
    OffsetToCommit,
    Request,
    Sync,
)
from headrace.groups.settings import GroupSettings, Migration
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicsImage
from headrace.testing.scripted_coordinator import ScriptedCoordinator, packed_subscription
from headrace.wire.errors import ErrorCode

T = UUID(int=1)
SESSION_MS = 10_000
REBALANCE_MS = 30_000
IMAGE = TopicsImage([TopicFacts(T, "t", 4)])

Indexes = frozenset[int]


def partitions(*indexes: int) -> frozenset[tuple[UUID, int]]:
    return frozenset((T, index) for index in indexes)


def named(*indexes: int) -> frozenset[tuple[str, int]]:
    return frozenset(("t", index) for index in indexes)


class Scene:
    def __init__(self, **settings: Any) -> None:
        self.coordinator = ScriptedCoordinator(GroupSettings(**settings))
        self.answers: dict[int, Any] = {}

    @property
    def group(self) -> Any:
        return self.coordinator.group

    def ask(self, request: Request) -> Any:
        """The answer, or the token if it has to wait."""
        token = self.coordinator.ask(request)
        self.write()
        return self.answers.get(token, token)

    def write(self) -> None:
        while self.coordinator.unwritten:
            for token, answer in self.coordinator.write().replies:
                assert token not in self.answers, "a request was answered twice"
                self.answers[token] = answer

    def wait(self, duration_ms: int) -> None:
        self.coordinator.wait(duration_ms)
        self.write()

    def join(self, member_id: str = "", owned: Any = (), **rest: Any) -> Any:
        metadata = packed_subscription(["t"], named(*owned), self.group.generation)
        rest.setdefault("protocols", (("cooperative-sticky", metadata),))
        rest.setdefault("protocol_type", "consumer")
        return self.ask(
            Join(
                member_id,
                session_timeout_ms=SESSION_MS,
                rebalance_timeout_ms=REBALANCE_MS,
                topics=IMAGE,
                accepts_member_id=False,
                **rest,
            )
        )

    def sync(self, member_id: str, generation: int, given: dict[str, Any] | None = None) -> Any:
        assignments = {
            name: packed_assignment(named(*what), 3) for name, what in (given or {}).items()
        }
        return self.ask(Sync(member_id, generation, tuple(assignments.items()), topics=IMAGE))

    def assigned(self, member_id: str, generation: int) -> Any:
        answer = self.sync(member_id, generation)
        assert answer.error is ErrorCode.NONE
        return {index for _, index in assigned_partitions(answer.assignment) or ()}

    def heartbeat(self, member_id: str, generation: int) -> ErrorCode:
        error: ErrorCode = self.ask(Heartbeat(member_id, generation)).error
        return error

    def enter(self, member_id: str, **rest: Any) -> Any:
        """A next-generation member joins."""
        rest = {"rebalance_timeout_ms": REBALANCE_MS, "names": frozenset({"t"})} | rest
        return self.ask(ConsumerHeartbeat(member_id, JOIN, owned=frozenset(), topics=IMAGE, **rest))

    def beat(self, member_id: str, epoch: int, owned: Any = None, **rest: Any) -> Any:
        return self.ask(ConsumerHeartbeat(member_id, epoch, owned=owned, topics=IMAGE, **rest))

    def commit(self, member_id: str, generation: int) -> ErrorCode:
        offsets = (OffsetToCommit("t", 0, 1, -1, ""),)
        error: ErrorCode = self.ask(Commit(offsets, member_id, generation)).error
        return error

    def stable(self, **members: Any) -> None:
        """A stable classic group in which each member has these partitions."""
        tokens = [self.join(fresh_member_id=name) for name in members]
        self.wait(1_000)
        leader = next(iter(members))
        assert all(self.answers[token].leader == leader for token in tokens)
        self.sync(leader, 1, members)
        for name, owned in members.items():
            assert self.assigned(name, 1) == set(owned)
        assert self.group.state is State.STABLE


@pytest.fixture
def pair() -> Scene:
    """A classic group, generation 1: a has 0 and 1, b has 2 and 3."""
    scene = Scene()
    scene.stable(a=(0, 1), b=(2, 3))
    return scene


@pytest.fixture
def mixed(pair: Scene) -> Scene:
    """n has joined (epoch 2) and waits for what a and b have to give up."""
    assert pair.enter("n").member_epoch == 2
    return pair


def test_members_keep_what_they_have_when_the_group_is_upgraded(pair: Scene) -> None:
    joined = pair.enter("n")
    assert (joined.error, joined.assignment) == (ErrorCode.NONE, frozenset())
    assert isinstance(pair.group, ConsumerGroup)
    assert pair.group.members["a"].assigned | pair.group.members["a"].revoking == partitions(0, 1)
    assert pair.commit("a", 1) is ErrorCode.NONE
    assert pair.commit("b", 1) is ErrorCode.NONE


def test_classic_member_is_moved_by_joining_again(mixed: Scene) -> None:
    target = {name: {i for _, i in m.target} for name, m in mixed.group.members.items()}
    assert sorted(map(len, target.values())) == [1, 1, 2]
    giver = next(name for name in "ab" if len(target[name]) == 1)
    other = "b" if giver == "a" else "a"
    has = {"a": (0, 1), "b": (2, 3)}[giver]
    (given_up,) = set(has) - target[giver]
    assert mixed.heartbeat(giver, 1) is ErrorCode.REBALANCE_IN_PROGRESS
    told = mixed.join(giver, owned=has)
    assert (told.generation, told.leader, told.members) == (1, "", ())
    assert told.protocol == "cooperative-sticky"
    assert mixed.assigned(giver, 1) == target[giver]
    assert mixed.beat("n", 2).assignment is None  # nobody said that it gave anything up
    assert mixed.heartbeat(giver, 1) is ErrorCode.REBALANCE_IN_PROGRESS
    assert mixed.join(giver, owned=target[giver]).generation == 2
    assert mixed.heartbeat(giver, 2) is ErrorCode.NONE
    assert given_up in {i for _, i in mixed.beat("n", 2).assignment}
    assert mixed.heartbeat(other, 1) is ErrorCode.REBALANCE_IN_PROGRESS


def test_eager_member_gives_up_everything_by_joining(mixed: Scene) -> None:
    for name in "ab":
        assert mixed.join(name, owned=()).generation == 2
        mixed.assigned(name, 2)
    assert mixed.beat("n", 2).assignment == mixed.group.members["n"].target
    assert mixed.group.state is State.STABLE
    assert mixed.heartbeat("a", 2) is ErrorCode.NONE


def test_member_that_gave_up_for_nobody_yet_is_called_when_there_is_something(mixed: Scene) -> None:
    for name in "ab":
        mixed.join(name)
        mixed.assigned(name, 2)
    mixed.beat("n", 2)
    mixed.beat("n", LEAVE)
    assert isinstance(mixed.group, Group)


def test_old_generation_is_told_so(mixed: Scene) -> None:
    mixed.join("a")
    assert mixed.heartbeat("a", 1) is ErrorCode.ILLEGAL_GENERATION
    assert mixed.sync("a", 1).error is ErrorCode.ILLEGAL_GENERATION
    assert mixed.commit("a", 1) is ErrorCode.ILLEGAL_GENERATION
    assert mixed.commit("a", 2) is ErrorCode.NONE
    assert mixed.sync("b", 1).error is ErrorCode.REBALANCE_IN_PROGRESS
    assert mixed.heartbeat("z", 1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert mixed.heartbeat("n", 2) is ErrorCode.UNKNOWN_MEMBER_ID


def test_waiting_joins_are_answered_by_the_upgraded_group() -> None:
    scene = Scene()
    first = scene.join(fresh_member_id="a")
    assert isinstance(first, int)
    assert scene.enter("n").member_epoch == 1
    answer = scene.answers[first]
    assert isinstance(answer, JoinAnswer)
    assert (answer.error, answer.member_id, answer.generation) == (ErrorCode.NONE, "a", 1)
    taken = scene.assigned("a", 1)
    assert len(taken) == 2
    assert scene.beat("n", 1).assignment == partitions(*({0, 1, 2, 3} - taken))


def test_upgrade_in_the_middle_of_a_rebalance_forgets_nobody_who_still_reads(pair: Scene) -> None:
    waiting = pair.join("a", owned=(0, 1))
    joined = pair.join("b", owned=(2, 3))
    assert joined.generation == 2
    syncing = pair.sync("b", 2)
    assert pair.answers[waiting].leader == "a"
    told = pair.enter("n")
    assert told.assignment == frozenset()
    assert pair.answers[syncing].error is ErrorCode.REBALANCE_IN_PROGRESS
    assert set(pair.group.owners) == partitions(0, 1, 2, 3)
    assert pair.beat("n", told.member_epoch, frozenset()).assignment in (None, frozenset())


def test_what_was_owned_and_not_given_again_is_waited_for() -> None:
    scene = Scene()
    scene.stable(a=(0, 1, 2, 3))
    newcomer = scene.join(fresh_member_id="b")
    assert scene.heartbeat("a", 1) is ErrorCode.REBALANCE_IN_PROGRESS
    scene.join("a", owned=(0, 1, 2, 3))
    assert scene.answers[newcomer].generation == 2
    scene.sync("a", 2, {"a": (0, 1)})
    told = scene.enter("n")  # a may still read 2 and 3
    assert told.assignment == frozenset()
    assert scene.join("a", owned=(0, 1)).error is ErrorCode.NONE
    assert scene.beat("n", told.member_epoch).assignment == scene.group.members["n"].target


@pytest.mark.parametrize(
    ("settings", "member"),
    [
        ({"consumer_migration": Migration.DISABLED}, {}),
        ({"consumer_migration": Migration.DOWNGRADE}, {}),
        ({"consumer_members_max": 1}, {}),
        ({}, {"protocol_type": "connect"}),
        ({}, {"protocols": (("range", b"\0"),)}),
    ],
)
def test_group_that_cannot_be_upgraded_stays_as_it_is(settings: Any, member: Any) -> None:
    scene = Scene(**settings)
    for name in "ab":
        scene.join(fresh_member_id=name, **member)
    scene.wait(1_000)
    before = scene.group.record()
    assert scene.enter("n").error is ErrorCode.GROUP_ID_NOT_FOUND
    assert scene.group.record() == before
    assert scene.heartbeat("a", 1) is ErrorCode.NONE


def test_assignments_with_more_than_partitions_are_not_upgraded(pair: Scene) -> None:
    pair.group.members["a"].assignment = packed_assignment(named(0), 3)[:-4] + struct.pack(
        ">i1s", 1, b"x"
    )
    assert pair.enter("n").error is ErrorCode.GROUP_ID_NOT_FOUND
    assert isinstance(pair.group, Group)


def test_refused_newcomer_leaves_the_group_classic(pair: Scene) -> None:
    assert pair.enter("n", assignor="best").error is ErrorCode.UNSUPPORTED_ASSIGNOR
    assert isinstance(pair.group, Group)
    assert pair.beat("n", 3).error is ErrorCode.UNKNOWN_MEMBER_ID
    assert pair.heartbeat("a", 1) is ErrorCode.NONE


def test_group_is_classic_again_when_only_classic_members_are_left(mixed: Scene) -> None:
    assert mixed.beat("n", LEAVE).error is ErrorCode.NONE
    group = mixed.group
    assert isinstance(group, Group)
    assert (group.state, group.generation) == (State.PREPARING, 3)
    for name in "ab":
        assert mixed.heartbeat(name, 1) is ErrorCode.REBALANCE_IN_PROGRESS
        assert mixed.commit(name, 1) is ErrorCode.NONE
    waiting = mixed.join("a", owned=(0, 1))
    assert mixed.join("b", owned=(2, 3)).generation == mixed.answers[waiting].generation == 4
    assert mixed.commit("a", 1) is ErrorCode.ILLEGAL_GENERATION
    mixed.sync("a", 4, {"a": (0, 1), "b": (2, 3)})
    assert mixed.group.state is State.STABLE


def test_group_can_be_upgraded_again_before_anybody_came_back(mixed: Scene) -> None:
    mixed.join("a", owned=(0, 1))
    before = dict(mixed.group.owners)
    mixed.beat("n", LEAVE)
    assert isinstance(mixed.group, Group)
    assert mixed.enter("m").assignment == frozenset()
    assert mixed.group.owners == before
    assert mixed.heartbeat("b", 1) is ErrorCode.REBALANCE_IN_PROGRESS
    assert mixed.commit("b", 1) is ErrorCode.NONE


def test_group_is_classic_again_when_its_last_new_member_lapses(mixed: Scene) -> None:
    for _ in range(5):
        mixed.wait(SESSION_MS - 1)
        if isinstance(mixed.group, Group):
            break
        for name in "ab":
            epoch = mixed.join(name).generation
            mixed.heartbeat(name, epoch)
            mixed.assigned(name, epoch)
    assert isinstance(mixed.group, Group)
    assert mixed.group.members.keys() == {"a", "b"}


def test_rebalances_are_counted_on_over_conversions(mixed: Scene) -> None:
    before = mixed.group.rebalances
    assert before > 1
    mixed.beat("n", LEAVE)
    assert isinstance(mixed.group, Group)
    assert mixed.group.rebalances >= before


@pytest.mark.parametrize("policy", [Migration.UPGRADE, Migration.DISABLED])
def test_group_is_not_downgraded_against_the_policy(mixed: Scene, policy: Migration) -> None:
    mixed.group.settings = GroupSettings(consumer_migration=policy)
    mixed.beat("n", LEAVE)
    assert isinstance(mixed.group, ConsumerGroup)
    epoch = mixed.join("a").generation
    assert mixed.assigned("a", epoch) == {0, 1}
    assert mixed.ask(Leave((Leaving("a", None), Leaving("b", None)))).errors == (0, 0)
    assert mixed.group.state is State.EMPTY


def test_static_member_is_replaced_across_the_protocols() -> None:
    scene = Scene()
    scene.join(fresh_member_id="old", instance_id="one")
    scene.wait(1_000)
    scene.sync("old", 1, {"old": (0, 1, 2, 3)})
    told = scene.enter("new", instance_id="one")
    assert told.assignment == partitions(0, 1, 2, 3)
    assert scene.group.members.keys() == {"new"}
    heartbeat = Heartbeat("old", 1, "one")
    assert scene.ask(heartbeat).error is ErrorCode.FENCED_INSTANCE_ID
    back = scene.join(fresh_member_id="newest", instance_id="one")
    assert (back.error, back.member_id) == (ErrorCode.NONE, "newest")
    assert isinstance(scene.group, Group)
    assert scene.group.members.keys() == {"newest"}
    fenced = scene.beat("new", told.member_epoch, instance_id="one")
    assert fenced.error is ErrorCode.UNKNOWN_MEMBER_ID


def test_waiting_static_member_is_fenced_by_its_successor_of_the_other_protocol() -> None:
    scene = Scene()
    waiting = scene.join(fresh_member_id="old", instance_id="one")
    assert scene.enter("new", instance_id="one").error is ErrorCode.NONE
    assert scene.answers[waiting].error is ErrorCode.FENCED_INSTANCE_ID
    assert scene.group.members.keys() == {"new"}


def test_classic_member_joins_a_group_of_the_next_generation() -> None:
    scene = Scene()
    scene.enter("n")
    scene.beat("n", 1, partitions(0, 1, 2, 3))
    asked = Join(
        "",
        "consumer",
        (("range", packed_subscription(["t"], version=0)),),
        SESSION_MS,
        REBALANCE_MS,
        fresh_member_id="c",
        topics=IMAGE,
    )
    assert scene.ask(asked).error is ErrorCode.MEMBER_ID_REQUIRED
    joined = scene.join("c", protocols=asked.protocols)
    assert (joined.error, joined.generation, joined.protocol) == (ErrorCode.NONE, 2, "range")
    assert scene.assigned("c", 2) == set()
    told = scene.beat("n", 1)
    assert len(told.assignment) == 2
    assert scene.heartbeat("c", 2) is ErrorCode.NONE
    scene.beat("n", 1, told.assignment)
    assert scene.heartbeat("c", 2) is ErrorCode.REBALANCE_IN_PROGRESS
    assert scene.join("c", protocols=asked.protocols).generation == 2
    assert len(scene.assigned("c", 2)) == 2


@pytest.mark.parametrize(
    ("join", "error"),
    [
        ({"protocol_type": "connect"}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocols": ()}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocols": (("range", b"\0\1"),)}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        (
            {"protocols": (("other", packed_subscription(["t"])),)},
            ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
        ),
        ({"member_id": "z", "owned": (0,)}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"member_id": "n"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"member_id": "z" * 301}, ErrorCode.INVALID_REQUEST),
        ({"member_id": "z", "instance_id": "one"}, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_bad_join_leaves_a_mixed_group_unharmed(mixed: Scene, join: Any, error: ErrorCode) -> None:
    before = mixed.group.record()
    assert mixed.join(**join).error is error
    assert mixed.group.record() == before


def test_mixed_group_has_a_largest_size(mixed: Scene) -> None:
    mixed.group.settings = GroupSettings(consumer_members_max=3)
    assert mixed.join(fresh_member_id="z").error is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert mixed.join("a").error is ErrorCode.NONE


def test_classic_member_that_does_not_come_back_is_given_up(mixed: Scene) -> None:
    for _ in range(8):
        mixed.wait(REBALANCE_MS // 8)
        mixed.heartbeat("a", 1)
        mixed.heartbeat("b", 1)
        mixed.beat("n", 2)
    mixed.wait(REBALANCE_MS // 8)
    mixed.beat("n", 2)
    assert mixed.group.members.keys() == {"n"}


def test_restart_keeps_members_of_both_protocols(mixed: Scene) -> None:
    mixed.join("a", owned=(0, 1))
    before = mixed.group.record()
    assert isinstance(before, ConsumerGroupRecord)
    mixed.coordinator.crash()
    assert mixed.group.record() == before
    assert mixed.group.classic_members == 2
    assert mixed.heartbeat("b", 1) is ErrorCode.REBALANCE_IN_PROGRESS
    mixed.beat("n", LEAVE)
    assert isinstance(mixed.coordinator.saved, GroupRecord)


def test_silent_classic_member_is_given_up_by_its_own_session(mixed: Scene) -> None:
    mixed.wait(SESSION_MS)
    assert mixed.group.members.keys() == {"n"}
    assert mixed.beat("n", 3).assignment in (None, partitions(0, 1, 2, 3))
