"""The membership of share groups (KIP-932) as one function: `(group, request, now)` -> `(changes,
replies)`. The broker decides who reads what; many members may read one partition.

A share group never becomes a group of another kind, not even while it is empty: where each of its
partitions stands cannot be told in committed offsets. Where Apache Kafka's coordinator differs, it
is by a choice that is safer here: a member that did not hear an answer is told its partitions once
more, and everyone has something to read in the first answer.
"""

from headrace.groups.changes import GroupDeleted, Step
from headrace.groups.consumer_requests import ConsumerHeartbeat, ConsumerHeartbeatAnswer
from headrace.groups.requests import (
    Answer,
    Commit,
    CommitAnswer,
    Delete,
    DeleteAnswer,
    DeleteOffsets,
    DeleteOffsetsAnswer,
    Heartbeat,
    HeartbeatAnswer,
    Join,
    JoinAnswer,
    Leave,
    LeaveAnswer,
    Request,
    Sync,
    SyncAnswer,
)
from headrace.groups.share_group import ShareGroup
from headrace.groups.share_heartbeat import heartbeat
from headrace.groups.share_requests import ShareHeartbeat
from headrace.groups.share_target import rebalance
from headrace.wire.errors import ErrorCode

__all__ = ["step", "tick"]


def step(group: ShareGroup, request: Request, now_ms: int) -> Step:
    """Serve one request; it is answered at once. Members of other protocols are none here."""
    answer: Answer
    match request:
        case ShareHeartbeat():
            answer = heartbeat(group, request, now_ms)
        case Delete():
            answer = _delete(group)
        case Leave():
            answer = LeaveAnswer((ErrorCode.UNKNOWN_MEMBER_ID,) * len(request.members))
        case Join():
            answer = JoinAnswer(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, request.member_id)
        case Sync():
            answer = SyncAnswer(ErrorCode.UNKNOWN_MEMBER_ID)
        case Heartbeat():
            answer = HeartbeatAnswer(ErrorCode.UNKNOWN_MEMBER_ID)
        case Commit():
            answer = CommitAnswer(ErrorCode.GROUP_ID_NOT_FOUND)
        case DeleteOffsets():
            answer = DeleteOffsetsAnswer(ErrorCode.GROUP_ID_NOT_FOUND)
        case ConsumerHeartbeat():
            message = f"{group.group_id!r} is a share group, and cannot be used by consumers"
            answer = ConsumerHeartbeatAnswer(ErrorCode.GROUP_ID_NOT_FOUND, message)
    group.tell(request.token, answer)
    return group.take_step()


def tick(group: ShareGroup, now_ms: int) -> Step:
    """Let time pass; call it when a step's `next_deadline_ms` has come (earlier does no harm)."""
    silent = [member_id for member_id, m in group.members.items() if m.deadline_ms <= now_ms]
    for member_id in silent:
        group.remove(member_id)
    if silent:
        rebalance(group, f"no heartbeat from {', '.join(silent)}")
    group.next_deadline_ms = min((m.deadline_ms for m in group.members.values()), default=None)
    return group.take_step()._replace(lapsed=tuple(silent))


def _delete(group: ShareGroup) -> DeleteAnswer:
    if group.members:
        return DeleteAnswer(ErrorCode.NON_EMPTY_GROUP)
    group.is_deleted = True
    group.change(GroupDeleted(group.group_id))
    return DeleteAnswer()
