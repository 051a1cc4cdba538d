"""JoinGroup: who may enter, who must come back with an id, who need not disturb the others.

A dynamic member is given an id and joins again with it (KIP-394). A static one (group.instance.id,
KIP-345) that comes without an id takes over the place of its predecessor, and in a stable group
the assignment too, if it still wants the same topics.
"""

from headrace.groups.causes import Cause
from headrace.groups.group import Group
from headrace.groups.member import Member, rebalance_timeout_ms
from headrace.groups.rebalance import call_in
from headrace.groups.requests import Join, JoinAnswer
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.subscription import same_subscription
from headrace.wire.errors import ErrorCode

__all__ = ["join", "unfit"]


def join(group: Group, request: Join, now_ms: int) -> None:
    error = _refusal(group, request)
    if error is ErrorCode.GROUP_MAX_SIZE_REACHED and request.member_id in group.members:
        # It would be the one too many of the next generation; waiting for it would be in vain.
        group.remove(request.member_id)
        group.tell(request.token, JoinAnswer(error))
        call_in(group, now_ms, Cause.TOO_MANY, f"{request.member_id} no longer fits into the group")
    elif error:
        group.tell(request.token, JoinAnswer(error, request.member_id))
    elif request.member_id in group.members:
        _join_again(group, request, now_ms)
    elif request.member_id:
        _enter(group, request, request.member_id, now_ms)
    elif request.instance_id is not None and request.instance_id in group.static_ids:
        _succeed(group, request, group.static_ids[request.instance_id], now_ms)
    elif request.instance_id is None and request.accepts_member_id:
        group.pending[request.fresh_member_id] = group.in_time(now_ms + request.session_timeout_ms)
        answer = JoinAnswer(ErrorCode.MEMBER_ID_REQUIRED, request.fresh_member_id)
        group.tell(request.token, answer)
    else:
        _enter(group, request, request.fresh_member_id, now_ms)


def unfit(request: Join, settings: GroupSettings) -> ErrorCode:
    """What makes a request wrong or too much for any group."""
    shortest, longest = settings.session_timeout_ms_min, settings.session_timeout_ms_max
    if not shortest <= request.session_timeout_ms <= longest:
        return ErrorCode.INVALID_SESSION_TIMEOUT
    if len(request.instance_id or "") > settings.instance_id_length_max:
        return ErrorCode.INVALID_REQUEST
    if sum(len(name) + len(data) for name, data in request.protocols) > settings.member_bytes_max:
        return ErrorCode.INVALID_REQUEST
    return ErrorCode.NONE


def _refusal(group: Group, request: Join) -> ErrorCode:
    error = unfit(request, group.settings)
    if error:
        return error
    if not _has_room(group, request.member_id):
        return ErrorCode.GROUP_MAX_SIZE_REACHED
    if not group.supports(request.protocol_type, request.protocols):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if request.member_id and (
        request.member_id not in group.pending or request.instance_id is not None
    ):
        return group.check_member(request.member_id, request.instance_id)
    return ErrorCode.NONE


def _has_room(group: Group, member_id: str) -> bool:
    """During a rebalance only those count who have joined: the rest may never come."""
    most = group.settings.group_members_max
    if not member_id and len(group.pending) >= group.settings.pending_members_max:
        return False
    if group.state is State.PREPARING:
        return member_id in group.awaiting_join or len(group.awaiting_join) < most
    return member_id in group.members or len(group.members) < most


def _enter(group: Group, request: Join, member_id: str, now_ms: int) -> None:
    """A new member, static or not."""
    group.pending.pop(member_id, None)
    if not group.members:
        group.protocol_type = request.protocol_type
    deadline_ms = now_ms + group.settings.new_member_join_timeout_ms
    client_id = request.client_id[: group.settings.client_id_length_max]
    member = Member.joining(request, member_id, client_id, deadline_ms)
    group.add(member)
    group.gathered_more = True
    group.park_join(member, request.token)
    call_in(group, now_ms, Cause.JOINED, _because(request, f"{member_id} joined"))


def _join_again(group: Group, request: Join, now_ms: int) -> None:
    """Only news starts a rebalance: other protocols or metadata, or a leader that joins again (it
    has seen something to reassign, such as new partitions). Else the answer may just be lost."""
    member = group.members[request.member_id]
    is_news = member.protocols != request.protocols
    if group.state is State.STABLE:
        is_news = is_news or group.leader == member.member_id
    elif group.state is State.PREPARING:
        is_news = True
    if is_news:
        _update(group, member, request)
        group.park_join(member, request.token)
        call_in(
            group, now_ms, Cause.REJOINED, _because(request, f"{member.member_id} joined again")
        )
    else:
        group.heard_of(member, now_ms)
        group.tell(request.token, group.joined(member))


def _succeed(group: Group, request: Join, old_id: str, now_ms: int) -> None:
    """A static member is back, as another process without the member id of the old one."""
    member = group.members[old_id]
    leader_before = group.leader or ""
    protocols_before = member.protocols
    group.rename(member, request.fresh_member_id)
    _update(group, member, request)
    group.heard_of(member, now_ms)
    if group.state is State.STABLE and (
        group.elect_protocol() == group.protocol
        and same_subscription(group, protocols_before, member.protocols)
    ):
        group.tell(request.token, _taken_over(group, member, request, leader_before))
        return
    group.park_join(member, request.token)
    call_in(group, now_ms, Cause.RETURNED, _because(request, f"{member.instance_id} came back"))


def _taken_over(group: Group, member: Member, request: Join, leader_before: str) -> JoinAnswer:
    """Nobody waits for an assignment, so a leader must not make one. It is told so (v9), or, if it
    could not understand that, that its predecessor leads."""
    leads = member.member_id == group.leader
    skips = leads and request.skips_assignment
    return JoinAnswer(
        member_id=member.member_id,
        generation=group.generation,
        protocol_type=group.protocol_type,
        protocol=group.protocol,
        leader=member.member_id if skips else leader_before,
        skip_assignment=skips,
        members=group.roster() if skips else (),
    )


def _update(group: Group, member: Member, request: Join) -> None:
    group.set_protocols(member, request.protocols)
    member.session_timeout_ms = request.session_timeout_ms
    member.rebalance_timeout_ms = rebalance_timeout_ms(request)
    member.client_id = request.client_id[: group.settings.client_id_length_max]
    member.client_host = request.client_host


def _because(request: Join, what: str) -> str:
    return f"{what}: {request.reason}" if request.reason else what
