"""Members of the classic protocol in a next-generation group (KIP-848, "Upgrade and Downgrade").

They speak as ever: JoinGroup, SyncGroup, Heartbeat. The group answers for the leader they do not
have: a JoinGroup is answered at once, with the member's epoch as generation and nobody as leader,
and SyncGroup brings what the broker assigned. When there is something to give up or to take, the
member's heartbeats say REBALANCE_IN_PROGRESS until it joins again.

What a member holds is what its subscription says when it joins: nothing, if it is eager and gave
up everything first; what it still owns, if it is cooperative. As in Apache Kafka the first of its
protocols is the one that is read.

Where Apache Kafka differs: a member id that nobody knows is accepted only from who holds nothing,
and a member of the new protocol cannot be made a classic one by its own id.

What must not enter: LeaveGroup and OffsetCommit, which are those of every member (`consumer`); how
a group becomes one of another kind (`conversion`).
"""

from headrace.groups.assignment import packed_assignment
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_heartbeat import succeed
from headrace.groups.consumer_member import NOTHING, ConsumerMember
from headrace.groups.consumer_reconcile import advance, must_join, reconcile
from headrace.groups.consumer_records import ClassicPart, ConsumerMemberRecord, Partitions
from headrace.groups.consumer_requests import JOIN
from headrace.groups.embedded import TopicIndex
from headrace.groups.join import unfit
from headrace.groups.member import rebalance_timeout_ms
from headrace.groups.requests import (
    Heartbeat,
    HeartbeatAnswer,
    Join,
    JoinAnswer,
    Sync,
    SyncAnswer,
    Token,
)
from headrace.groups.subscription import CONSUMER, Subscription, subscription_of
from headrace.groups.topics_image import TopicsImage
from headrace.wire.errors import ErrorCode

__all__ = ["answer_join", "by_id", "heartbeat", "join", "sync"]


def join(group: ConsumerGroup, request: Join, now_ms: int) -> None:
    told = subscription_of(request.protocols[0][1]) if request.protocols else None
    refusal = _refusal(group, request, told)
    if refusal is not None or told is None:
        group.tell(request.token, refusal or JoinAnswer(ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
        return
    member, reason = _enter(group, request)
    if _update(group, member, request, told):
        reason = reason or f"{member.instance_id or member.member_id} subscribes otherwise"
    if reason and request.reason:
        reason = f"{reason}: {request.reason}"
    member.reported = by_id(told.owned, request.topics) & (member.assigned | member.revoking)
    advance(group, member, request.topics, reason, now_ms)
    _tell_joined(group, member, request.token, now_ms)


def answer_join(group: ConsumerGroup, member: ConsumerMember, token: Token, now_ms: int) -> None:
    """To a member that asked while the group was another; `reported` is what it said it holds."""
    reconcile(group, member, now_ms)
    group.heard_of(member, now_ms)
    _tell_joined(group, member, token, now_ms)


def sync(group: ConsumerGroup, request: Sync, now_ms: int) -> None:
    error = _sync_refusal(group, request)
    member = group.members.get(request.member_id)
    if error or member is None or member.classic is None:
        if error is ErrorCode.REBALANCE_IN_PROGRESS and member is not None:
            _call_in(group, member, now_ms)
        group.tell(request.token, SyncAnswer(error))
        return
    member.act_by_ms = None
    group.heard_of(member, now_ms)
    name, metadata = member.classic.protocols[0]
    told = subscription_of(metadata)
    known = request.topics.by_id
    assigned = frozenset(
        (known[topic_id].name, index) for topic_id, index in member.assigned if topic_id in known
    )
    assignment = packed_assignment(assigned, told.version if told else 0)
    group.tell(request.token, SyncAnswer(ErrorCode.NONE, CONSUMER, name, assignment))


def heartbeat(group: ConsumerGroup, request: Heartbeat, now_ms: int) -> None:
    error = _speaker(group, request.member_id, request.instance_id, request.generation)
    if not error:
        member = group.members[request.member_id]
        group.heard_of(member, now_ms)
        if must_join(group, member):
            _call_in(group, member, now_ms)
            error = ErrorCode.REBALANCE_IN_PROGRESS
    group.tell(request.token, HeartbeatAnswer(error))


def by_id(partitions: frozenset[TopicIndex], topics: TopicsImage) -> Partitions:
    """Those of topics that exist."""
    known = topics.by_name
    return frozenset((known[name].id, index) for name, index in partitions if name in known)


def _refusal(group: ConsumerGroup, request: Join, told: Subscription | None) -> JoinAnswer | None:
    """What to answer one that does not get in, or not yet."""
    error = unfit(request, group.settings) or _stranger(group, request)
    if not error and told is None:
        error = ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    is_forgotten = bool(request.member_id) and request.member_id not in group.members
    if not error and is_forgotten and told is not None and told.owned:
        # It was fenced and has not heard of it: what it holds may be another's by now.
        error = ErrorCode.UNKNOWN_MEMBER_ID
    if error:
        return JoinAnswer(error, request.member_id)
    if not request.member_id and request.instance_id is None and request.accepts_member_id:
        return JoinAnswer(ErrorCode.MEMBER_ID_REQUIRED, request.fresh_member_id)
    return None


def _enter(group: ConsumerGroup, request: Join) -> tuple[ConsumerMember, str]:
    """The member that joins, and why that matters to others; empty if it does not."""
    holder = group.members.get(_place(group, request))
    if holder is None:
        member = ConsumerMember(_record(request))
        group.add(member)
        group.outsiders_out_until_ms = None
        return member, f"{member.instance_id or member.member_id} joined"
    if holder.member_id == request.member_id:
        return holder, ""
    return succeed(group, holder, request.fresh_member_id), ""


def _stranger(group: ConsumerGroup, request: Join) -> ErrorCode:
    """Whether it fits in with those who are there."""
    place = _place(group, request)
    if not place and len(group.members) >= group.settings.consumer_members_max:
        return ErrorCode.GROUP_MAX_SIZE_REACHED
    if request.protocol_type != CONSUMER or not group.has_common_protocol(place, request.protocols):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if not request.member_id:
        return ErrorCode.NONE
    if len(request.member_id) > group.settings.member_id_length_max:
        return ErrorCode.INVALID_REQUEST
    if not place and request.instance_id is None:
        return ErrorCode.NONE
    error = group.check_member(request.member_id, request.instance_id)
    if not error and group.members[request.member_id].classic is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    return error


def _place(group: ConsumerGroup, request: Join) -> str:
    """The id of the member that this is, or whose successor it is; empty if there is none."""
    if request.member_id:
        return request.member_id if request.member_id in group.members else ""
    return group.static_ids.get(request.instance_id or "", "")


def _update(
    group: ConsumerGroup, member: ConsumerMember, request: Join, told: Subscription
) -> bool:
    """Note what it says of itself; whether it wants other topics."""
    wanted = member.names, member.pattern, member.assignor
    member.names, member.pattern, member.assignor = told.topics, None, None
    member.rack_id = told.rack_id
    member.rebalance_timeout_ms = rebalance_timeout_ms(request)
    member.client_id = request.client_id[: group.settings.client_id_length_max]
    member.client_host = request.client_host
    group.set_classic(member, ClassicPart(request.session_timeout_ms, request.protocols))
    group.mark_unsaved()
    return wanted != (member.names, member.pattern, member.assignor)


def _tell_joined(group: ConsumerGroup, member: ConsumerMember, token: Token, now_ms: int) -> None:
    classic = member.classic
    answer = JoinAnswer(
        member_id=member.member_id,
        generation=member.epoch,
        protocol_type=CONSUMER,
        protocol=classic.protocols[0][0] if classic else None,
    )
    group.tell(token, answer)
    group.demand(member, now_ms)


def _call_in(group: ConsumerGroup, member: ConsumerMember, now_ms: int) -> None:
    if member.act_by_ms is None:
        group.demand(member, now_ms)


def _speaker(
    group: ConsumerGroup, member_id: str, instance_id: str | None, generation: int
) -> ErrorCode:
    error = group.check_member(member_id, instance_id)
    if error:
        return error
    member = group.members[member_id]
    if member.classic is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    return ErrorCode.NONE if generation == member.epoch else ErrorCode.ILLEGAL_GENERATION


def _sync_refusal(group: ConsumerGroup, request: Sync) -> ErrorCode:
    error = _speaker(group, request.member_id, request.instance_id, request.generation)
    if error:
        return error
    member = group.members[request.member_id]
    name = member.classic.protocols[0][0] if member.classic else None
    if request.protocol_type not in (None, CONSUMER) or request.protocol not in (None, name):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    # Who has something to give up learns of it now, and joins again then.
    if member.epoch != group.generation and not member.revoking:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def _record(request: Join) -> ConsumerMemberRecord:
    """A member of which nothing is known yet but who it is."""
    return ConsumerMemberRecord(
        member_id=request.member_id or request.fresh_member_id,
        instance_id=request.instance_id,
        rack_id=None,
        client_id="",
        client_host="",
        rebalance_timeout_ms=rebalance_timeout_ms(request),
        names=frozenset(),
        pattern="",
        assignor=None,
        epoch=JOIN,
        previous_epoch=JOIN,
        assigned=NOTHING,
        revoking=NOTHING,
        target=NOTHING,
    )
