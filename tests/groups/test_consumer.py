"""Next-generation groups on a virtual clock, one scene at a time."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from headrace.groups import consumer, kinds
from headrace.groups.changes import GroupSaved
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_heartbeat import WAITING_BEAT_MS
from headrace.groups.consumer_requests import (
    JOIN,
    LEAVE,
    LEAVE_FOR_A_WHILE,
    ConsumerHeartbeat,
    ConsumerHeartbeatAnswer,
)
from headrace.groups.group import Group
from headrace.groups.requests import (
    Commit,
    Delete,
    DeleteOffsets,
    Join,
    Leave,
    Leaving,
    OffsetToCommit,
    Sync,
)
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicsImage
from headrace.wire.errors import ErrorCode

A, B = UUID(int=1), UUID(int=2)
NONE = frozenset[tuple[UUID, int]]()
SESSION_MS = 45_000
REBALANCE_MS = 60_000


def partitions(*indexes: int, topic: UUID = A) -> frozenset[tuple[UUID, int]]:
    return frozenset((topic, index) for index in indexes)


class Scene:
    """One group, whose members say only what is new to the broker."""

    def __init__(self) -> None:
        self.settings = GroupSettings(consumer_members_max=3)
        self.group = ConsumerGroup("g", self.settings)
        self.now_ms = 0
        self.topics(a=4)

    def topics(self, **sizes: int) -> None:
        ids = {"a": A, "b": B}
        self.image = TopicsImage(TopicFacts(ids[n], n, size) for n, size in sizes.items())

    def ask(self, request: Any) -> Any:
        if isinstance(request, ConsumerHeartbeat):
            request = replace(request, topics=self.image)
        step = consumer.step(self.group, request, self.now_ms)
        self.saved = [c.record for c in step.changes if isinstance(c, GroupSaved)] or self.saved
        (reply,) = step.replies
        return reply.answer

    saved: list[Any] = []  # noqa: RUF012 - replaced, never changed

    def join(self, member_id: str, **rest: Any) -> ConsumerHeartbeatAnswer:
        rest.setdefault("names", frozenset({"a"}))
        rest = {"rebalance_timeout_ms": REBALANCE_MS, "owned": NONE} | rest
        return self.ask(ConsumerHeartbeat(member_id, JOIN, **rest))

    def beat(self, member_id: str, epoch: int, owned: Any = None, **rest: Any) -> Any:
        return self.ask(ConsumerHeartbeat(member_id, epoch, owned=owned, **rest))

    def commit(self, member_id: str, epoch: int, *indexes: int) -> ErrorCode:
        offsets = tuple(OffsetToCommit("a", index, 1, -1, "") for index in indexes or (0,))
        return self.ask(Commit(offsets, member_id, epoch)).error

    def wait(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        consumer.tick(self.group, self.now_ms)

    def restart(self) -> None:
        self.group = ConsumerGroup.restore(self.saved[-1], self.settings, self.now_ms)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def alone(scene: Scene) -> Scene:
    """m1 has everything, in epoch 1, and has said so."""
    assert scene.join("m1").assignment == partitions(0, 1, 2, 3)
    assert scene.beat("m1", 1, partitions(0, 1, 2, 3)).assignment is None
    return scene


def test_partition_is_given_only_after_the_old_owner_gave_it_up(alone: Scene) -> None:
    joined = alone.join("m2")
    assert (joined.member_epoch, joined.assignment) == (2, NONE)
    told = alone.beat("m1", 1)
    assert (told.member_epoch, told.assignment) == (1, partitions(0, 1))
    assert alone.beat("m2", 2).assignment is None
    assert alone.group.state is State.RECONCILING
    confirmed = alone.beat("m1", 1, partitions(0, 1))
    assert confirmed.member_epoch == 2
    assert alone.beat("m2", 2).assignment == partitions(2, 3)
    assert alone.group.state is State.STABLE


def test_member_that_waits_for_others_is_told_to_come_back_soon(alone: Scene) -> None:
    answer = alone.join("m2")
    assert answer.assignment == NONE
    assert answer.next_beat_ms == WAITING_BEAT_MS
    usual_ms = alone.settings.consumer_heartbeat_interval_ms
    assert alone.beat("m1", 1).next_beat_ms == usual_ms, "it has something to give up"
    alone.group.settings = replace(alone.settings, consumer_heartbeat_interval_ms=100)
    assert alone.beat("m2", 2).next_beat_ms == 100
    alone.group.settings = alone.settings
    alone.beat("m1", 1, partitions(0, 1))
    assert alone.beat("m2", 2).next_beat_ms == usual_ms


def test_assignment_is_told_until_the_member_says_that_it_has_it(scene: Scene) -> None:
    scene.join("m1")
    assert scene.beat("m1", 1).assignment == partitions(0, 1, 2, 3)
    assert scene.beat("m1", 1, partitions(0, 1, 2, 3)).member_epoch == 1
    assert scene.beat("m1", 1).assignment is None


def test_lost_answer_does_not_fence(alone: Scene) -> None:
    alone.topics(a=6)
    assert alone.beat("m1", 1).member_epoch == 2  # lost
    again = alone.beat("m1", 1)
    assert (again.error, again.member_epoch) == (ErrorCode.NONE, 2)
    assert again.assignment == partitions(*range(6))


@pytest.mark.parametrize(("epoch", "owned"), [(7, None), (1, partitions(9)), (0, None)])
def test_other_epochs_are_fenced(alone: Scene, epoch: int, owned: Any) -> None:
    alone.topics(a=6)
    alone.beat("m1", 1)
    answer = alone.beat("m1", epoch, owned)
    expected = ErrorCode.FENCED_MEMBER_EPOCH if epoch else ErrorCode.INVALID_REQUEST
    assert answer.error is expected
    assert alone.join("m1").assignment == partitions(*range(6))


def test_unknown_member_is_told_so(alone: Scene) -> None:
    assert alone.beat("m9", 1).error is ErrorCode.UNKNOWN_MEMBER_ID
    assert alone.beat("m9", LEAVE).error is ErrorCode.UNKNOWN_MEMBER_ID


def test_silent_member_is_given_up(alone: Scene) -> None:
    alone.join("m2")
    alone.wait(SESSION_MS - 1)
    assert alone.beat("m2", 2).error is ErrorCode.NONE
    alone.wait(1)
    assert alone.beat("m2", 2).assignment == partitions(0, 1, 2, 3)
    assert alone.beat("m1", 1).error is ErrorCode.UNKNOWN_MEMBER_ID
    assert alone.commit("m1", 1) is ErrorCode.UNKNOWN_MEMBER_ID


def test_member_that_does_not_give_up_in_time_is_given_up(alone: Scene) -> None:
    alone.join("m2")
    alone.beat("m1", 1)
    for _ in range(2):
        alone.wait(REBALANCE_MS // 2 - 1)
        alone.beat("m1", 1)
        alone.beat("m2", 2)
    alone.wait(2)
    assert alone.beat("m1", 1).error is ErrorCode.UNKNOWN_MEMBER_ID
    assert alone.beat("m2", 2).assignment == partitions(0, 1, 2, 3)


def test_commits_need_the_epoch_of_the_member(alone: Scene) -> None:
    assert alone.commit("m1", 1) is ErrorCode.NONE
    assert alone.commit("m1", 0) is ErrorCode.STALE_MEMBER_EPOCH
    assert alone.commit("m1", 2) is ErrorCode.STALE_MEMBER_EPOCH
    assert alone.commit("m9", 1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert alone.commit("", -1) is ErrorCode.UNKNOWN_MEMBER_ID
    alone.beat("m1", LEAVE)
    assert alone.commit("", -1) is ErrorCode.NONE


def test_a_commit_in_an_older_epoch_counts_for_what_the_member_had_then_and_has_still(
    alone: Scene,
) -> None:
    alone.join("m2")
    alone.beat("m1", 1)
    alone.beat("m1", 1, partitions(0, 1))  # it has not heard yet that this is epoch 2
    assert alone.commit("m1", 1, 0, 1) is ErrorCode.NONE
    assert alone.commit("m1", 1, 0, 2) is ErrorCode.STALE_MEMBER_EPOCH
    alone.beat("m2", 2)
    assert alone.commit("m2", 1, 2) is ErrorCode.STALE_MEMBER_EPOCH
    assert alone.commit("m1", 1, 2) is ErrorCode.STALE_MEMBER_EPOCH


def test_a_partition_that_was_away_is_had_since_it_came_back(alone: Scene) -> None:
    alone.join("m2")
    alone.beat("m1", 1)
    alone.beat("m1", 1, partitions(0, 1))
    alone.beat("m2", 2)
    alone.beat("m2", LEAVE)
    assert alone.beat("m1", 2).assignment == partitions(0, 1, 2, 3)
    assert alone.commit("m1", 1, 0) is ErrorCode.NONE
    assert alone.commit("m1", 1, 2) is ErrorCode.STALE_MEMBER_EPOCH
    assert alone.commit("m1", 2, 2) is ErrorCode.STALE_MEMBER_EPOCH
    assert alone.commit("m1", 3, 2) is ErrorCode.NONE


def test_after_a_restart_only_the_present_epoch_counts(alone: Scene) -> None:
    alone.topics(a=5)
    alone.beat("m1", 1)
    assert alone.commit("m1", 1, 0) is ErrorCode.NONE
    alone.restart()
    assert alone.commit("m1", 1, 0) is ErrorCode.STALE_MEMBER_EPOCH
    assert alone.commit("m1", 2, 0) is ErrorCode.NONE


def test_topics_come_grow_and_go(scene: Scene) -> None:
    scene.topics()
    assert scene.join("m1", names=frozenset({"a", "b"})).assignment == NONE
    scene.topics(a=1)
    assert scene.beat("m1", 1, NONE).assignment == partitions(0)
    scene.topics(a=2, b=1)
    assert scene.beat("m1", 2, partitions(0)).assignment == partitions(0, 1) | partitions(
        0, topic=B
    )
    scene.topics(b=1)
    told = scene.beat("m1", 3, partitions(0, 1) | partitions(0, topic=B))
    assert (told.member_epoch, told.assignment) == (3, partitions(0, topic=B))
    assert scene.beat("m1", 3, partitions(0, topic=B)).member_epoch == 4


def test_topics_nobody_reads_begin_no_epoch(alone: Scene) -> None:
    alone.topics(a=4, b=9)
    assert alone.beat("m1", 1).member_epoch == 1


def test_pattern_follows_the_topics(scene: Scene) -> None:
    assert scene.join("m1", names=None, pattern="b|c.*").assignment == NONE
    scene.topics(a=4, b=2)
    assert scene.beat("m1", 1, NONE).assignment == partitions(0, 1, topic=B)
    assert scene.beat("m1", 2, pattern="", names=frozenset({"a"})).assignment == NONE


def test_bad_pattern_and_assignor_leave_the_group_unharmed(alone: Scene) -> None:
    before = alone.group.record()
    bad = alone.join("m2", names=None, pattern="(")
    assert bad.error is ErrorCode.INVALID_REGULAR_EXPRESSION
    assert alone.join("m2", assignor="best").error is ErrorCode.UNSUPPORTED_ASSIGNOR
    assert alone.group.record() == before


@pytest.mark.parametrize(
    "bad",
    [
        {"member_id": ""},
        {"member_epoch": -3},
        {"instance_id": ""},
        {"member_epoch": LEAVE_FOR_A_WHILE},
        {"rebalance_timeout_ms": -1},
        {"owned": None},
        {"owned": partitions(0)},
        {"names": None},
        {"instance_id": "i" * 300},
    ],
)
def test_nonsense_is_refused(scene: Scene, bad: dict[str, Any]) -> None:
    good = ConsumerHeartbeat("m1", JOIN, rebalance_timeout_ms=1, names=frozenset({"a"}), owned=NONE)
    assert scene.ask(replace(good, **bad)).error is ErrorCode.INVALID_REQUEST
    assert not scene.group.members


def test_group_has_a_largest_size(scene: Scene) -> None:
    for number in range(3):
        scene.join(f"m{number}")
    assert scene.join("m4").error is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert scene.join("m1").error is ErrorCode.NONE


def test_static_member_comes_back_to_what_it_had(alone: Scene) -> None:
    alone.join("s1", instance_id="one")
    alone.beat("m1", 1)
    alone.beat("m1", 1, partitions(0, 1))
    assert alone.beat("s1", 2, instance_id="one").assignment == partitions(2, 3)
    assert alone.join("s2", instance_id="one").error is ErrorCode.UNRELEASED_INSTANCE_ID
    assert alone.beat("s1", LEAVE_FOR_A_WHILE, instance_id="one").error is ErrorCode.NONE
    assert alone.beat("m1", 2).assignment is None
    back = alone.join("s2", instance_id="one")
    assert (back.member_epoch, back.assignment) == (2, partitions(2, 3))
    assert alone.beat("s1", 2, instance_id="one").error is ErrorCode.FENCED_INSTANCE_ID
    assert alone.beat("s2", 2, instance_id="two").error is ErrorCode.UNKNOWN_MEMBER_ID


def test_static_member_that_stays_away_is_given_up(alone: Scene) -> None:
    alone.join("s1", instance_id="one")
    alone.beat("s1", LEAVE_FOR_A_WHILE, instance_id="one")
    alone.wait(SESSION_MS - 1)
    assert alone.beat("m1", 1).assignment == partitions(0, 1)
    alone.wait(1)
    assert alone.group.members.keys() == {"m1"}
    assert alone.beat("m1", 1, partitions(0, 1)).assignment == partitions(0, 1, 2, 3)


def test_administrator_removes_a_static_member(alone: Scene) -> None:
    alone.join("s1", instance_id="one")
    leave = Leave((Leaving("", "one"), Leaving("", "two")))
    assert alone.ask(leave).errors == (ErrorCode.NONE, ErrorCode.UNKNOWN_MEMBER_ID)
    assert alone.group.members.keys() == {"m1"}


def test_group_with_members_is_not_deleted(alone: Scene) -> None:
    assert alone.ask(Delete()).error is ErrorCode.NON_EMPTY_GROUP
    assert alone.ask(Sync("m1", 1)).error is ErrorCode.UNKNOWN_MEMBER_ID
    alone.beat("m1", LEAVE)
    assert alone.ask(Delete()).error is ErrorCode.NONE
    assert alone.group.state is State.DEAD


def test_restart_loses_nothing(alone: Scene) -> None:
    alone.join("m2")
    alone.beat("m1", 1)
    before = alone.group.record()
    alone.restart()
    assert alone.group.record() == before
    assert alone.beat("m2", 2).assignment is None
    assert alone.beat("m1", 1, partitions(0, 1)).member_epoch == 2
    assert alone.beat("m2", 2).assignment == partitions(2, 3)
    alone.wait(SESSION_MS)
    assert not alone.group.members


def test_member_sent_away_right_after_a_restart_takes_nothing_from_the_others(alone: Scene) -> None:
    alone.join("m2")
    alone.beat("m1", 1)
    alone.beat("m1", 1, partitions(0, 1))
    alone.beat("m2", 2)
    alone.restart()
    assert alone.ask(Leave((Leaving("m2", None),))).errors == (ErrorCode.NONE,)
    assert alone.group.members["m1"].target == partitions(0, 1), "no topics were seen yet"
    assert alone.beat("m1", 2, partitions(0, 1)).assignment == partitions(0, 1, 2, 3)


def test_empty_groups_change_kind_and_their_epochs_go_on() -> None:
    image = TopicsImage([TopicFacts(A, "a", 4)])
    heartbeat = ConsumerHeartbeat(
        "m1", JOIN, rebalance_timeout_ms=1, names=frozenset({"a"}), owned=NONE, topics=image
    )
    step = kinds.step(Group("g", GroupSettings(), 7), heartbeat, 0)
    group = step.becomes
    assert isinstance(group, ConsumerGroup)
    assert group.generation == 8
    kinds.step(group, ConsumerHeartbeat("m1", LEAVE), 0)
    join = Join("", "consumer", (("range", b""),), 10_000, 10_000, fresh_member_id="c1")
    step = kinds.step(group, join, 0)
    assert isinstance(step.becomes, Group)
    assert step.becomes.generation == group.generation == 9


def test_most_wanted_assignor_is_used(scene: Scene) -> None:
    scene.join("m1", assignor="range")
    scene.join("m2", assignor="range")
    scene.join("m3", assignor="uniform")
    assert scene.group.assignor == "range"


def test_only_assignors_that_are_offered_are_used_and_the_first_of_them_by_default() -> None:
    scene = Scene()
    scene.settings = replace(scene.settings, consumer_assignors=("range", "uniform"))
    scene.group = ConsumerGroup("g", scene.settings)
    assert scene.join("m1").error is ErrorCode.NONE
    assert scene.group.assignor == "range"
    refused = scene.join("m2", assignor="balanced")
    assert refused.error is ErrorCode.UNSUPPORTED_ASSIGNOR
    assert "range, uniform" in refused.message
    assert scene.join("m2", assignor="uniform").error is ErrorCode.NONE
    scene.settings = scene.group.settings = replace(scene.settings, consumer_assignors=("range",))
    scene.join("m3")
    assert scene.group.assignor == "range", "as after a restart with another configuration"


def test_offsets_of_what_members_read_are_not_deleted(alone: Scene) -> None:
    answer = alone.ask(DeleteOffsets((("a", 0), ("b", 0))))
    assert answer.errors == (ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, ErrorCode.NONE)


def test_administrator_fences_all_members_and_their_late_commits(alone: Scene) -> None:
    offsets = (OffsetToCommit("a", 0, 1, -1, ""),)
    assert alone.ask(Commit(offsets, fences_members=True)).error is ErrorCode.NONE
    assert not alone.group.members
    assert alone.commit("m1", 1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert alone.commit("", -1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert alone.join("m1").member_epoch == 3
    alone.beat("m1", LEAVE)
    assert alone.commit("", -1) is ErrorCode.NONE


def test_topic_that_went_while_the_broker_was_down_is_no_longer_read(alone: Scene) -> None:
    alone.restart()
    alone.topics()
    assert alone.beat("m1", 1).assignment == NONE
