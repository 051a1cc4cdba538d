"""ShareGroupHeartbeat (KIP-932): who may speak, who enters, stays and goes.

A member makes its own id and joins with epoch 0; the answer tells its epoch, which it repeats until
it is told another. If an answer is lost the member comes with the epoch before, and is told
everything once more. With any other epoch it is fenced, and joins anew.
"""

from headrace.groups.consumer_requests import JOIN, LEAVE
from headrace.groups.share_group import ShareGroup
from headrace.groups.share_member import ShareMember
from headrace.groups.share_records import ShareMemberRecord
from headrace.groups.share_requests import ShareHeartbeat, ShareHeartbeatAnswer
from headrace.groups.share_target import rebalance, see_topics
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["heartbeat"]


def heartbeat(group: ShareGroup, request: ShareHeartbeat, now_ms: int) -> ShareHeartbeatAnswer:
    try:
        _check(group, request)
        if request.member_epoch == LEAVE:
            _leave(group, request)
            return ShareHeartbeatAnswer(member_id=request.member_id, member_epoch=LEAVE)
        return _attend(group, request, now_ms)
    except RequestError as error:
        return ShareHeartbeatAnswer(error.code, error.message)


def _check(group: ShareGroup, request: ShareHeartbeat) -> None:
    """What makes no sense whoever says it, or is too much. Raises RequestError."""
    settings = group.settings
    if request.member_epoch < LEAVE:
        raise _invalid(f"there is no member epoch {request.member_epoch}")
    if not 0 < len(request.member_id) <= settings.group_id_length_max:
        raise _invalid(f"a member id has 1 to {settings.group_id_length_max} characters")
    rack_length_max = settings.instance_id_length_max
    if request.rack_id is not None and not 0 < len(request.rack_id) <= rack_length_max:
        raise _invalid(f"a rack id has 1 to {rack_length_max} characters")
    names = request.names or ()
    if len(names) > settings.consumer_topics_max or (
        sum(map(len, names)) > settings.member_bytes_max
    ):
        raise _invalid(
            f"a member subscribes to at most {settings.consumer_topics_max} topics, whose names "
            f"have at most {settings.member_bytes_max} characters together"
        )
    if request.member_epoch == JOIN and not request.names:
        raise _invalid("a member that joins names the topics it subscribes to")


def _attend(group: ShareGroup, request: ShareHeartbeat, now_ms: int) -> ShareHeartbeatAnswer:
    joins = request.member_epoch == JOIN
    reason = ""
    if joins:
        member, reason = _enter(group, request)
    else:
        member = _known(group, request)
    if _update(group, member, request):
        reason = reason or f"{member.member_id} subscribes otherwise"
    if reason:
        group.topics = request.topics
        rebalance(group, reason)
    else:
        see_topics(group, request.topics)
    is_behind = request.member_epoch != group.generation
    if is_behind:
        member.move_to(group.generation)
    member.epoch_min = group.generation if joins else request.member_epoch
    group.heard_of(member, now_ms)
    says_all = request.names is not None
    return ShareHeartbeatAnswer(
        member_id=member.member_id,
        member_epoch=member.epoch,
        assignment=member.assigned if is_behind or says_all else None,
    )


def _known(group: ShareGroup, request: ShareHeartbeat) -> ShareMember:
    """The member that speaks. Raises RequestError if it may not."""
    member = _member(group, request.member_id)
    if not member.epoch_min <= request.member_epoch <= member.epoch:
        raise RequestError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            f"{member.member_id!r} is at epoch {member.epoch}, not {request.member_epoch}; "
            "it must give up its partitions and join again",
        )
    return member


def _enter(group: ShareGroup, request: ShareHeartbeat) -> tuple[ShareMember, str]:
    """The member that joins, and why that matters to others; empty if it does not."""
    member = group.members.get(request.member_id)
    if member is not None:  # it was fenced, or did not hear that it is in
        return member, ""
    members_max = group.settings.share_members_max
    if len(group.members) >= members_max:
        raise RequestError(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"the group has {len(group.members)} members and takes no more than {members_max}",
        )
    member = ShareMember(
        ShareMemberRecord(
            member_id=request.member_id,
            rack_id=None,
            client_id="",
            client_host="",
            names=frozenset(),
            target=frozenset(),
        ),
        epoch=JOIN,
    )
    group.add(member)
    return member, f"{member.member_id} joined"


def _update(group: ShareGroup, member: ShareMember, request: ShareHeartbeat) -> bool:
    """Note what the request says anew; whether it wants other topics."""
    before = member.record()
    if request.names is not None:
        member.names = request.names
    if request.rack_id is not None or request.member_epoch == JOIN:
        member.rack_id = request.rack_id
    member.client_id = request.client_id[: group.settings.client_id_length_max]
    member.client_host = request.client_host
    if member.record() != before:
        group.mark_unsaved()
    return member.names != before.names


def _leave(group: ShareGroup, request: ShareHeartbeat) -> None:
    group.remove(_member(group, request.member_id).member_id)
    rebalance(group, f"{request.member_id} left")


def _member(group: ShareGroup, member_id: str) -> ShareMember:
    """Raises RequestError UNKNOWN_MEMBER_ID."""
    try:
        return group.members[member_id]
    except KeyError:
        raise RequestError(
            ErrorCode.UNKNOWN_MEMBER_ID, f"{member_id!r} is no member of {group.group_id!r}"
        ) from None


def _invalid(message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, message)
