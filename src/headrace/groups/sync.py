"""SyncGroup: the leader hands in who gets what; everyone fetches its part."""

from headrace.groups.group import Group
from headrace.groups.requests import Sync, SyncAnswer
from headrace.groups.states import Event, State
from headrace.wire.errors import ErrorCode

__all__ = ["sync"]


def sync(group: Group, request: Sync, now_ms: int) -> None:
    error = _refusal(group, request)
    if error:
        group.tell(request.token, SyncAnswer(error))
        return
    member = group.members[request.member_id]
    group.to_sync.discard(member.member_id)
    if group.state is State.STABLE:
        group.heard_of(member, now_ms)
        group.tell(request.token, group.assigned(member))
    else:
        group.park_sync(member, request.token)
        if member.member_id == group.leader:
            _assign(group, dict(request.assignments), now_ms)
    if not group.to_sync:
        group.sync_deadline_ms = None


def _refusal(group: Group, request: Sync) -> ErrorCode:
    error = group.check_member(request.member_id, request.instance_id)
    if error:
        return error
    if request.generation != group.generation_of(request.member_id):
        return ErrorCode.ILLEGAL_GENERATION
    if request.protocol_type not in (None, group.protocol_type):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if request.protocol not in (None, group.protocol):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if group.state is State.PREPARING:
        return ErrorCode.REBALANCE_IN_PROGRESS
    largest = group.settings.member_bytes_max
    if any(len(assignment) > largest for _, assignment in request.assignments):
        return ErrorCode.INVALID_REQUEST
    return ErrorCode.NONE


def _assign(group: Group, assignments: dict[str, bytes], now_ms: int) -> None:
    """Whom the leader forgot gets nothing; whom it made up is ignored."""
    for member in group.members.values():
        member.assignment = assignments.get(member.member_id, b"")
    group.move(Event.ASSIGNED)
    group.mark_unsaved()
    for member_id in list(group.awaiting_sync):
        member = group.members[member_id]
        group.answer_sync(member_id, group.assigned(member))
        group.heard_of(member, now_ms)
