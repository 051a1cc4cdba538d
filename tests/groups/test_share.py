"""The membership of share groups on a virtual clock, one scene at a time."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from headrace.groups import kinds, share
from headrace.groups.changes import Change, GroupDeleted, GroupSaved
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_requests import JOIN, LEAVE, ConsumerHeartbeat
from headrace.groups.group import Group
from headrace.groups.requests import (
    Commit,
    Delete,
    DeleteOffsets,
    Heartbeat,
    Join,
    Leave,
    Leaving,
    OffsetToCommit,
    Sync,
)
from headrace.groups.settings import GroupSettings
from headrace.groups.share_group import ShareGroup
from headrace.groups.share_requests import ShareHeartbeat, ShareHeartbeatAnswer
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicsImage
from headrace.wire.errors import ErrorCode

A, B = UUID(int=1), UUID(int=2)
SESSION_MS = 45_000


def partitions(*indexes: int, topic: UUID = A) -> frozenset[tuple[UUID, int]]:
    return frozenset((topic, index) for index in indexes)


class Scene:
    """One group, whose members say only what is new to the broker."""

    def __init__(self) -> None:
        self.settings = GroupSettings(share_members_max=3)
        self.group: kinds.AnyGroup = ShareGroup("g", self.settings)
        self.now_ms = 0
        self.changes: list[Change] = []
        self.topics(a=4)

    def topics(self, **sizes: int) -> None:
        ids = {"a": A, "b": B}
        self.image = TopicsImage(TopicFacts(ids[n], n, size) for n, size in sizes.items())

    def ask(self, request: Any) -> Any:
        if isinstance(request, ShareHeartbeat):
            request = replace(request, topics=self.image)
        step = kinds.step(self.group, request, self.now_ms)
        self.changes += step.changes
        (reply,) = step.replies
        return reply.answer

    def join(self, member_id: str, *names: str, **rest: Any) -> ShareHeartbeatAnswer:
        return self.beat(member_id, JOIN, *(names or ("a",)), **rest)

    def beat(self, member_id: str, epoch: int, *names: str, **rest: Any) -> ShareHeartbeatAnswer:
        return self.ask(ShareHeartbeat(member_id, epoch, names=frozenset(names) or None, **rest))

    def wait(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        self.changes += kinds.tick(self.group, self.now_ms).changes

    def restart(self) -> None:
        saved = [change for change in self.changes if isinstance(change, GroupSaved)]
        self.group = kinds.restore(saved[-1].record, self.settings, self.now_ms)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def pair(scene: Scene) -> Scene:
    """m1 and m2 read two partitions each, in epoch 2."""
    assert scene.join("m1").assignment == partitions(0, 1, 2, 3)
    assert scene.join("m2") == ShareHeartbeatAnswer(
        member_id="m2", member_epoch=2, assignment=partitions(2, 3)
    )
    assert scene.beat("m1", 1) == ShareHeartbeatAnswer(
        member_id="m1", member_epoch=2, assignment=partitions(0, 1)
    )
    return scene


def test_member_that_has_heard_everything_is_told_nothing(pair: Scene) -> None:
    assert pair.beat("m1", 2).assignment is None
    assert pair.beat("m2", 2).assignment is None


def test_member_that_says_all_is_told_all(pair: Scene) -> None:
    assert pair.beat("m1", 2, "a") == ShareHeartbeatAnswer(
        member_id="m1", member_epoch=2, assignment=partitions(0, 1)
    )


def test_lost_answer_is_told_once_more(pair: Scene) -> None:
    pair.join("m3")
    assert pair.beat("m1", 2).member_epoch == 3
    again = pair.beat("m1", 2)
    assert again.member_epoch == 3
    assert again.assignment is not None


def test_members_beyond_the_partitions_share_them(scene: Scene) -> None:
    scene.topics(a=1)
    for name in ("m1", "m2", "m3"):
        assert scene.join(name).assignment == partitions(0)


def test_what_a_member_leaves_goes_to_the_others(pair: Scene) -> None:
    assert pair.beat("m2", LEAVE) == ShareHeartbeatAnswer(member_id="m2", member_epoch=LEAVE)
    assert pair.beat("m1", 2).assignment == partitions(0, 1, 2, 3)


def test_silent_member_is_given_up(pair: Scene) -> None:
    pair.wait(SESSION_MS - 1)
    pair.beat("m1", 2)
    pair.now_ms += 1
    assert kinds.tick(pair.group, pair.now_ms).lapsed == ("m2",)
    assert pair.beat("m1", 2).assignment == partitions(0, 1, 2, 3)
    assert pair.beat("m2", 2).error is ErrorCode.UNKNOWN_MEMBER_ID


def test_last_member_leaves_an_empty_group(pair: Scene) -> None:
    pair.beat("m1", LEAVE)
    pair.wait(SESSION_MS)
    assert pair.group.state is State.EMPTY
    pair.restart()
    assert pair.group.state is State.EMPTY


def test_other_subscription_begins_an_epoch(pair: Scene) -> None:
    pair.topics(a=4, b=1)
    told = pair.beat("m2", 2, "b")
    assert (told.member_epoch, told.assignment) == (3, partitions(0, topic=B))
    assert pair.beat("m1", 2).assignment == partitions(0, 1, 2, 3)


def test_new_partitions_are_given_out(pair: Scene) -> None:
    pair.topics(a=5)
    told = [
        pair.beat(name, 2).assignment or pair.group.members[name].target for name in ["m1", "m2"]
    ]
    assert frozenset.union(*told) == partitions(0, 1, 2, 3, 4)
    assert pair.group.generation == 3


def test_topic_that_is_gone_is_no_longer_read(pair: Scene) -> None:
    pair.topics()
    assert pair.beat("m1", 2).assignment == partitions()


def test_topics_nobody_reads_make_no_difference(pair: Scene) -> None:
    pair.topics(a=4, b=9)
    assert pair.beat("m1", 2).member_epoch == 2


@pytest.mark.parametrize("epoch", [1, 3, 99])
def test_wrong_epoch_is_fenced(pair: Scene, epoch: int) -> None:
    pair.beat("m1", 2)
    assert pair.beat("m1", epoch).error is ErrorCode.FENCED_MEMBER_EPOCH
    assert pair.beat("m1", 2).error is ErrorCode.NONE


def test_fenced_member_joins_again_in_its_place(pair: Scene) -> None:
    again = pair.join("m1")
    assert (again.member_epoch, again.assignment) == (2, partitions(0, 1))


@pytest.mark.parametrize("epoch", [1, LEAVE])
def test_stranger_is_unknown(pair: Scene, epoch: int) -> None:
    assert pair.beat("m9", epoch).error is ErrorCode.UNKNOWN_MEMBER_ID


def test_group_has_a_bound(pair: Scene) -> None:
    pair.join("m3")
    assert pair.join("m4").error is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert pair.join("m3").error is ErrorCode.NONE


@pytest.mark.parametrize(
    "request_",
    [
        ShareHeartbeat("m", JOIN),
        ShareHeartbeat("m", JOIN, names=frozenset()),
        ShareHeartbeat("", JOIN, names=frozenset("a")),
        ShareHeartbeat("m" * 300, JOIN, names=frozenset("a")),
        ShareHeartbeat("m", -2, names=frozenset("a")),
        ShareHeartbeat("m", JOIN, rack_id="", names=frozenset("a")),
        ShareHeartbeat("m", JOIN, rack_id="r" * 300, names=frozenset("a")),
        ShareHeartbeat("m", JOIN, names=frozenset(map(str, range(10_001)))),
    ],
)
def test_senseless_heartbeat_is_refused_and_changes_nothing(
    scene: Scene, request_: ShareHeartbeat
) -> None:
    assert scene.ask(request_).error is ErrorCode.INVALID_REQUEST
    assert scene.group.generation == 0
    assert not scene.changes


def test_heartbeats_that_change_nothing_are_not_written(pair: Scene) -> None:
    pair.changes.clear()
    pair.beat("m1", 2)
    pair.beat("m2", 2, "a")
    assert not pair.changes


def test_member_is_known_after_a_restart_whichever_answer_it_heard(pair: Scene) -> None:
    pair.join("m3")
    pair.restart()
    assert pair.beat("m1", 2).assignment == pair.group.members["m1"].target
    assert pair.beat("m3", 3) == ShareHeartbeatAnswer(member_id="m3", member_epoch=3)
    assert pair.group.generation == 3
    assert pair.beat("m2", 4).error is ErrorCode.FENCED_MEMBER_EPOCH


def test_topic_that_went_while_the_broker_was_down_is_no_longer_read(pair: Scene) -> None:
    pair.restart()
    pair.topics()
    assert pair.beat("m1", 2).assignment == partitions()


def test_member_sent_away_right_after_a_restart_takes_nothing_from_the_others(pair: Scene) -> None:
    pair.restart()
    assert pair.beat("m2", LEAVE).error is ErrorCode.NONE
    assert pair.group.members["m1"].target == partitions(0, 1), "no topics were seen yet"
    assert pair.beat("m1", 2).assignment == partitions(0, 1, 2, 3)


def test_sessions_begin_anew_with_a_restart(pair: Scene) -> None:
    pair.now_ms += 10 * SESSION_MS
    pair.restart()
    pair.wait(SESSION_MS - 1)
    assert len(pair.group.members) == 2
    pair.wait(1)
    assert not pair.group.members


def test_group_with_members_is_not_deleted(pair: Scene) -> None:
    assert pair.ask(Delete()).error is ErrorCode.NON_EMPTY_GROUP
    for name in ("m1", "m2"):
        pair.beat(name, LEAVE)
    assert pair.ask(Delete()).error is ErrorCode.NONE
    assert pair.group.is_dead
    assert pair.changes[-1] == GroupDeleted("g")


@pytest.mark.parametrize("has_members", [False, True])
def test_other_protocols_have_no_place_in_a_share_group(scene: Scene, has_members: bool) -> None:
    scene.join("m1")
    if not has_members:
        scene.beat("m1", LEAVE)
    join = Join("", "consumer", (("range", b""),), 10_000, 10_000)
    offset = OffsetToCommit("a", 0, 1, -1, "")
    expected = {
        join: ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
        Sync("m1", 1): ErrorCode.UNKNOWN_MEMBER_ID,
        Heartbeat("m1", 1): ErrorCode.UNKNOWN_MEMBER_ID,
        Commit((offset,)): ErrorCode.GROUP_ID_NOT_FOUND,
        DeleteOffsets((("a", 0),)): ErrorCode.GROUP_ID_NOT_FOUND,
        ConsumerHeartbeat("c", JOIN): ErrorCode.GROUP_ID_NOT_FOUND,
    }
    assert {request: scene.ask(request).error for request in expected} == expected
    assert scene.ask(Leave((Leaving("m1", None),))).errors == (ErrorCode.UNKNOWN_MEMBER_ID,)
    assert isinstance(scene.group, ShareGroup)


@pytest.mark.parametrize("kind", [Group, ConsumerGroup])
def test_share_member_has_no_place_in_other_groups(scene: Scene, kind: type[Any]) -> None:
    scene.group = kind("g", scene.settings)
    assert scene.join("m1").error is ErrorCode.GROUP_ID_NOT_FOUND
    assert not scene.group.members


def test_step_says_when_the_next_session_ends(scene: Scene) -> None:
    request = ShareHeartbeat("m1", JOIN, names=frozenset("a"), topics=scene.image)
    group = ShareGroup("g", scene.settings)
    assert share.step(group, request, 1_000).next_deadline_ms == 1_000 + SESSION_MS
    assert share.tick(group, 1_000 + SESSION_MS).next_deadline_ms is None
