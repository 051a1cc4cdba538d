"""The short requests of members: I am here (Heartbeat), I go (LeaveGroup), I have read this far
(OffsetCommit); and an administrator's: away with the group (DeleteGroups) or with some of its
offsets (OffsetDelete)."""

from headrace.groups.causes import Cause
from headrace.groups.changes import GroupDeleted
from headrace.groups.group import Group
from headrace.groups.rebalance import call_in, end_join_phase_if_complete
from headrace.groups.requests import (
    Commit,
    CommitAnswer,
    Delete,
    DeleteAnswer,
    DeleteOffsets,
    DeleteOffsetsAnswer,
    Heartbeat,
    HeartbeatAnswer,
    Leave,
    LeaveAnswer,
    Leaving,
)
from headrace.groups.states import Event, State
from headrace.groups.subscription import CONSUMER, subscribed_topics
from headrace.wire.errors import ErrorCode

__all__ = ["commit", "delete", "delete_offsets", "heartbeat", "leave"]


def heartbeat(group: Group, request: Heartbeat, now_ms: int) -> None:
    error = group.check_member(request.member_id, request.instance_id)
    if not error and request.generation != group.generation_of(request.member_id):
        error = ErrorCode.ILLEGAL_GENERATION
    if not error:
        group.heard_of(group.members[request.member_id], now_ms)
        if group.state is State.PREPARING:
            error = ErrorCode.REBALANCE_IN_PROGRESS
    group.tell(request.token, HeartbeatAnswer(error))


def leave(group: Group, request: Leave, now_ms: int) -> None:
    """All leave in one rebalance; one that may not does not keep the others."""
    members_before = len(group.members)
    errors = tuple(_let_go(group, leaving) for leaving in request.members)
    group.tell(request.token, LeaveAnswer(errors))
    if len(group.members) < members_before:
        gone = ", ".join(leaving.instance_id or leaving.member_id for leaving in request.members)
        call_in(group, now_ms, Cause.LEFT, f"{gone} left")
    elif group.state is State.PREPARING:
        end_join_phase_if_complete(group, now_ms)


def _let_go(group: Group, leaving: Leaving) -> ErrorCode:
    member_id = leaving.member_id
    if not member_id and leaving.instance_id is not None:
        member_id = group.static_ids.get(leaving.instance_id, "")
    elif group.pending.pop(member_id, None) is not None:
        return ErrorCode.NONE
    error = group.check_member(member_id, leaving.instance_id)
    if not error:
        group.remove(member_id)
    return error


def commit(group: Group, request: Commit, now_ms: int) -> None:
    if request.fences_members and group.members:
        _fence_everyone(group, now_ms)
        group.commit_offsets(request)
        group.tell(request.token, CommitAnswer())
        return
    error = _commit_refusal(group, request)
    if not error:
        if request.member_id in group.members:
            group.heard_of(group.members[request.member_id], now_ms)
        group.commit_offsets(request)
    group.tell(request.token, CommitAnswer(error))


def _fence_everyone(group: Group, now_ms: int) -> None:
    """Take all members out, and keep out what they may still commit: some clients, when they learn
    that nobody knows them, commit once more as if they were no member."""
    longest_ms = max(member.session_timeout_ms for member in group.members.values())
    group.outsiders_out_until_ms = group.in_time(now_ms + longest_ms)
    for member_id in list(group.members):
        group.remove(member_id)
    call_in(group, now_ms, Cause.RESET, "an administrator reset its offsets")


def _commit_refusal(group: Group, request: Commit) -> ErrorCode:
    """Who is in no generation may commit only while there is no member whose work it could undo;
    but a transaction need not say for which member it does (KIP-447)."""
    is_free = group.state is State.EMPTY or request.is_anonymous_part_of_transaction
    if request.generation < 0 and is_free and group.outsiders_out_until_ms is None:
        return ErrorCode.NONE
    error = group.check_member(request.member_id, request.instance_id)
    if error:
        return error
    if request.generation != group.generation_of(request.member_id):
        return ErrorCode.ILLEGAL_GENERATION
    # It knows the new generation and not yet what it owns in it.
    if group.state is State.COMPLETING and request.producer_id < 0:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def delete(group: Group, request: Delete, now_ms: int) -> None:
    error = ErrorCode.NONE
    if group.state is State.EMPTY:
        group.pending.clear()
        group.move(Event.DELETED)
        group.change(GroupDeleted(group.group_id))
    else:
        error = ErrorCode.NON_EMPTY_GROUP
    group.tell(request.token, DeleteAnswer(error))


def delete_offsets(group: Group, request: DeleteOffsets, now_ms: int) -> None:
    """Nobody who reads a topic loses its place in it; who may be reading it counts as if."""
    if group.members and group.protocol_type != CONSUMER:
        group.tell(request.token, DeleteOffsetsAnswer(ErrorCode.NON_EMPTY_GROUP))
        return
    read = subscribed_topics(group) if group.members else frozenset()
    kept = {topic for topic, _ in request.partitions if read is None or topic in read}
    forgotten = tuple(pair for pair in request.partitions if pair[0] not in kept)
    if forgotten:
        group.forget_offsets(forgotten)
    errors = tuple(
        ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if topic in kept else ErrorCode.NONE
        for topic, _ in request.partitions
    )
    group.tell(request.token, DeleteOffsetsAnswer(errors=errors))
