"""An administrator moves a group that reads: its members are out, and come back to a new place."""

import pytest

from headrace.groups.changes import GroupSaved, OffsetsCommitted
from headrace.groups.offsets import is_left_over
from headrace.groups.requests import Commit, OffsetToCommit
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode

OFFSETS = (OffsetToCommit("t", 0, 3, -1, ""),)


@pytest.fixture
def reset(stable_pair):
    """Members a and b, fenced by a commit."""
    stable_pair.changes.clear()
    token = stable_pair.ask(Commit(OFFSETS, fences_members=True))
    assert stable_pair.answers[token].error is ErrorCode.NONE
    return stable_pair


def test_members_are_out_and_the_offsets_in_with_one_step(reset):
    saved, committed = (
        [change for change in reset.changes if isinstance(change, kind)]
        for kind in (GroupSaved, OffsetsCommitted)
    )
    assert (saved[-1].record.members, saved[-1].record.state) == ((), State.EMPTY)
    assert saved[-1].record.generation == 2
    assert [change.offsets for change in committed] == [OFFSETS]
    assert reset.heartbeat("a", generation=1) is ErrorCode.UNKNOWN_MEMBER_ID


def test_what_fenced_members_still_commit_is_refused(reset):
    assert reset.commit("a", generation=1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert reset.commit() is ErrorCode.UNKNOWN_MEMBER_ID  # as if it were no member
    reset.stable("c")
    assert reset.commit() is ErrorCode.UNKNOWN_MEMBER_ID
    assert reset.commit("c", generation=3) is ErrorCode.NONE


def test_outsiders_may_commit_again_when_no_fenced_member_can_be_left(reset):
    assert not is_left_over(reset.group)
    reset.wait(10_000)
    assert reset.commit() is ErrorCode.NONE
    assert is_left_over(reset.group)


def test_an_empty_group_is_no_different_for_it(scene):
    token = scene.ask(Commit(OFFSETS, fences_members=True))
    assert scene.answers[token].error is ErrorCode.NONE
    assert scene.commit() is ErrorCode.NONE


def test_members_that_wait_for_each_other_are_told(scene):
    scene.stable("a", "b")
    waiting = scene.join("a", protocols=(("range", b"news"),))
    assert waiting not in scene.answers
    scene.ask(Commit(OFFSETS, fences_members=True))
    assert scene.answers[waiting].error is ErrorCode.UNKNOWN_MEMBER_ID
    assert scene.group.state is State.EMPTY
