"""ConsumerGroupHeartbeat (KIP-848): who may speak, who enters, stays and goes.

A member makes its own id and joins with epoch 0; the answer tells its epoch, which it repeats until
it is told another. If an answer is lost the member comes with the epoch before, and is not fenced
for it. Any other epoch is: it then gives up all it has and joins anew.
"""

from typing import Final

from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_member import NOTHING, ConsumerMember
from headrace.groups.consumer_reconcile import advance
from headrace.groups.consumer_records import ConsumerMemberRecord
from headrace.groups.consumer_requests import (
    JOIN,
    LEAVE,
    LEAVE_FOR_A_WHILE,
    ConsumerHeartbeat,
    ConsumerHeartbeatAnswer,
)
from headrace.groups.consumer_target import rebalance
from headrace.groups.topic_pattern import PatternError, compiled
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["WAITING_BEATS_PER_S_MAX", "WAITING_BEAT_MS", "heartbeat", "succeed"]

WAITING_BEAT_MS: Final = 500
"""Between two heartbeats of a member that waits for partitions."""
WAITING_BEATS_PER_S_MAX: Final = 500
"""Of one group, when all its members wait."""


def heartbeat(group: ConsumerGroup, request: ConsumerHeartbeat, now_ms: int) -> None:
    try:
        _check(group, request)
        if request.member_epoch in (LEAVE, LEAVE_FOR_A_WHILE):
            _leave(group, request)
            answer = ConsumerHeartbeatAnswer(
                member_id=request.member_id, member_epoch=request.member_epoch
            )
        else:
            answer = _attend(group, request, now_ms)
    except RequestError as error:
        answer = ConsumerHeartbeatAnswer(error.code, error.message)
    group.tell(request.token, answer)


def _check(group: ConsumerGroup, request: ConsumerHeartbeat) -> None:
    """What makes no sense whoever says it, or is too much. Raises RequestError."""
    settings = group.settings
    if request.member_epoch < LEAVE_FOR_A_WHILE:
        raise _invalid(f"there is no member epoch {request.member_epoch}")
    if not request.member_id or len(request.member_id) > settings.group_id_length_max:
        raise _invalid(f"a member id has 1 to {settings.group_id_length_max} characters")
    if request.instance_id is not None and not (
        0 < len(request.instance_id) <= settings.instance_id_length_max
    ):
        raise _invalid(f"an instance id has 1 to {settings.instance_id_length_max} characters")
    if request.member_epoch == LEAVE_FOR_A_WHILE and request.instance_id is None:
        raise _invalid("only a member with an instance id can leave for a while")
    if len(request.rack_id or "") > settings.instance_id_length_max:
        raise _invalid(f"a rack id has at most {settings.instance_id_length_max} characters")
    names = request.names or ()
    if len(names) > settings.consumer_topics_max or (
        sum(map(len, names)) > settings.member_bytes_max
    ):
        raise _invalid(
            f"a member subscribes to at most {settings.consumer_topics_max} topics, whose names "
            f"have at most {settings.member_bytes_max} characters together"
        )
    assignors = settings.consumer_assignors
    if request.assignor is not None and request.assignor not in assignors:
        raise RequestError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"the assignors are {', '.join(assignors)}, not {request.assignor[:60]!r}",
        )
    if request.pattern:
        try:
            compiled(request.pattern)
        except PatternError as error:
            raise RequestError(ErrorCode.INVALID_REGULAR_EXPRESSION, str(error)) from error
    if request.member_epoch == JOIN:
        _check_join(request)


def _check_join(request: ConsumerHeartbeat) -> None:
    if request.rebalance_timeout_ms <= 0:
        raise _invalid("a member that joins says its rebalance timeout")
    if request.owned is None or request.owned:
        raise _invalid("a member that joins has no partitions, and says so")
    if request.names is None and not request.pattern:
        raise _invalid("a member that joins subscribes to topics, by names or by a pattern")


def _attend(
    group: ConsumerGroup, request: ConsumerHeartbeat, now_ms: int
) -> ConsumerHeartbeatAnswer:
    joins = request.member_epoch == JOIN
    reason = ""
    if joins:
        member, reason = _enter(group, request)
        group.set_classic(member, None)
    else:
        member = _known(group, request)
    is_late = member.epoch != request.member_epoch
    if _update(member, request, group.settings.client_id_length_max):
        group.mark_unsaved()
        reason = reason or f"{member.instance_id or member.member_id} subscribes otherwise"
    before = member.assigned
    advance(group, member, request.topics, reason, now_ms)
    says_all = request.owned is not None and request.names is not None
    # Once more until the member says that this is what it has: the answer may have been lost.
    is_news = member.assigned != before or member.reported != member.assigned
    is_wrong = request.owned is not None and not request.owned <= member.assigned
    return ConsumerHeartbeatAnswer(
        member_id=member.member_id,
        member_epoch=member.epoch,
        assignment=member.assigned if joins or is_late or says_all or is_news or is_wrong else None,
        next_beat_ms=_next_beat_ms(group, member),
    )


def _next_beat_ms(group: ConsumerGroup, member: ConsumerMember) -> int:
    """Sooner than usual while it waits for what others have yet to give up: they tell the broker,
    and the broker can tell it only when it asks."""
    usual_ms = group.settings.consumer_heartbeat_interval_ms
    if member.revoking or member.assigned == member.target:
        return usual_ms
    fewest_ms = len(group.members) * 1000 // WAITING_BEATS_PER_S_MAX
    return min(usual_ms, max(WAITING_BEAT_MS, fewest_ms))


def _known(group: ConsumerGroup, request: ConsumerHeartbeat) -> ConsumerMember:
    """The member that speaks. Raises RequestError if it may not."""
    error = group.check_member(request.member_id, request.instance_id)
    if error:
        raise _no_such(group, request, error)
    member = group.members[request.member_id]
    if member.classic is not None:
        raise _no_such(group, request)
    if request.member_epoch == member.epoch:
        return member
    lost_our_answer = request.member_epoch == member.previous_epoch and (
        request.owned is None or request.owned <= member.assigned | member.revoking
    )
    if member.is_away or not lost_our_answer:
        raise RequestError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            f"{member.member_id!r} is at epoch {member.epoch}, not {request.member_epoch}; "
            "it must give up its partitions and join again",
        )
    return member


def _enter(group: ConsumerGroup, request: ConsumerHeartbeat) -> tuple[ConsumerMember, str]:
    """The member that joins, and why that matters to others; empty if it does not."""
    holder = group.static_ids.get(request.instance_id) if request.instance_id else None
    member = group.members.get(request.member_id)
    if member is not None and member.instance_id != request.instance_id:
        raise _invalid(f"{request.member_id!r} is a member with another instance id")
    if member is not None:  # it was fenced, or did not hear that it is in
        group.release_all(member)
        member.epoch = member.previous_epoch = JOIN
        return member, ""
    if holder is not None:
        old = group.members[holder]
        if not old.is_away and old.classic is None:
            raise RequestError(
                ErrorCode.UNRELEASED_INSTANCE_ID,
                f"instance id {old.instance_id!r} is in use by {old.member_id!r}",
            )
        return succeed(group, old, request.member_id), ""
    if len(group.members) >= group.settings.consumer_members_max:
        raise RequestError(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"the group has {len(group.members)} members and takes no more",
        )
    member = ConsumerMember(_record(request))
    group.add(member)
    group.outsiders_out_until_ms = None
    return member, f"{request.instance_id or request.member_id} joined"


def succeed(group: ConsumerGroup, old: ConsumerMember, member_id: str) -> ConsumerMember:
    """A static member is back as another process: it gets its place, and all it had."""
    group.remove(old)
    old.member_id = member_id
    old.epoch = old.previous_epoch = JOIN
    old.reported = NOTHING
    group.add(old)
    return old


def _update(member: ConsumerMember, request: ConsumerHeartbeat, client_id_length_max: int) -> bool:
    """Note what the request says anew; whether it wants other topics or another assignor."""
    before = member.names, member.pattern, member.assignor
    member.names = member.names if request.names is None else request.names
    if request.pattern is not None:
        member.pattern = compiled(request.pattern) if request.pattern else None
    if request.member_epoch == JOIN:
        member.names = request.names or frozenset()
        member.pattern = compiled(request.pattern) if request.pattern else None
        member.assignor = request.assignor
        member.rack_id = request.rack_id
        member.client_id = request.client_id[:client_id_length_max]
        member.client_host = request.client_host
    member.assignor = request.assignor or member.assignor
    if request.rebalance_timeout_ms > 0:
        member.rebalance_timeout_ms = request.rebalance_timeout_ms
    if request.owned is not None:
        # What it never was given is not kept: it may be any number.
        member.reported = request.owned & (member.assigned | member.revoking)
    return before != (member.names, member.pattern, member.assignor)


def _leave(group: ConsumerGroup, request: ConsumerHeartbeat) -> None:
    error = group.check_member(request.member_id, request.instance_id)
    if error:
        raise _no_such(group, request, error)
    member = group.members[request.member_id]
    if member.classic is not None:
        raise _no_such(group, request)
    group.release_all(member)
    if request.member_epoch == LEAVE_FOR_A_WHILE:
        member.epoch = LEAVE_FOR_A_WHILE
    else:
        group.remove(member)
        rebalance(group, f"{member.instance_id or member.member_id} left")


def _record(request: ConsumerHeartbeat) -> ConsumerMemberRecord:
    return ConsumerMemberRecord(
        member_id=request.member_id,
        instance_id=request.instance_id,
        rack_id=request.rack_id,
        client_id=request.client_id,
        client_host=request.client_host,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        names=request.names or frozenset(),
        pattern=request.pattern or "",
        assignor=request.assignor,
        epoch=JOIN,
        previous_epoch=JOIN,
        assigned=NOTHING,
        revoking=NOTHING,
        target=NOTHING,
    )


def _no_such(
    group: ConsumerGroup,
    request: ConsumerHeartbeat,
    error: ErrorCode = ErrorCode.UNKNOWN_MEMBER_ID,
) -> RequestError:
    return RequestError(error, f"{request.member_id!r} is no such member of {group.group_id!r}")


def _invalid(message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, message)
