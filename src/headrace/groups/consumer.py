"""The next-generation group protocol (KIP-848) as one function: `(group, request, now)` ->
`(changes, replies)`. The broker decides who reads what, and each member is moved there by itself.

Where Apache Kafka's coordinator differs, it is by a choice that is safer here:

- the target is computed in the step that begins its epoch, so a group is never "Assigning"
- a member is told its assignment until it says that it has exactly that
- a revocation is confirmed only by a heartbeat that follows the answer which asked for it
- a member that comes with the epoch before is not fenced when it does not say what it has
- a static member that left for a while has given up its partitions; they wait for it, and whoever
  shall have them from then on need not wait for its session to end
"""

from headrace.groups import classic_in_consumer
from headrace.groups.changes import GroupDeleted, Step
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_heartbeat import heartbeat
from headrace.groups.consumer_requests import JOIN, ConsumerHeartbeat, Weigh
from headrace.groups.consumer_target import rebalance, see_loads, subscribed_topics
from headrace.groups.requests import (
    Commit,
    CommitAnswer,
    Delete,
    DeleteAnswer,
    DeleteOffsets,
    DeleteOffsetsAnswer,
    Heartbeat,
    Join,
    Leave,
    LeaveAnswer,
    Leaving,
    Request,
    Sync,
)
from headrace.wire.errors import ErrorCode

__all__ = ["check_epoch", "step", "tick"]


def step(group: ConsumerGroup, request: Request, now_ms: int) -> Step:
    """Serve one request; it is answered at once."""
    match request:
        case ConsumerHeartbeat():
            heartbeat(group, request, now_ms)
        case Weigh():
            see_loads(group, request)
        case Commit():
            _commit(group, request, now_ms)
        case Leave():
            _remove(group, request)
        case Delete():
            _delete(group, request)
        case DeleteOffsets():
            _delete_offsets(group, request)
        case Join():
            classic_in_consumer.join(group, request, now_ms)
        case Sync():
            classic_in_consumer.sync(group, request, now_ms)
        case Heartbeat():
            classic_in_consumer.heartbeat(group, request, now_ms)
    return group.take_step()


def tick(group: ConsumerGroup, now_ms: int) -> Step:
    """Let time pass; call it when a step's `next_deadline_ms` has come (earlier does no harm)."""
    silent, slow = [], []
    for member in group.members.values():
        if member.deadline_ms <= now_ms:
            silent.append(member)
        elif member.act_by_ms is not None and member.act_by_ms <= now_ms:
            slow.append(member)
    for member in silent + slow:
        group.remove(member)
    if silent or slow:
        names = ", ".join(member.instance_id or member.member_id for member in silent + slow)
        what = "no heartbeat from" if silent else "what was asked was not done in time by"
        rebalance(group, f"{what} {names}")
    until_ms = group.outsiders_out_until_ms
    if until_ms is not None and until_ms <= now_ms:
        group.outsiders_out_until_ms = until_ms = None
    deadlines = [] if until_ms is None else [until_ms]
    deadlines += [member.deadline_ms for member in group.members.values()]
    deadlines += [
        member.act_by_ms for member in group.members.values() if member.act_by_ms is not None
    ]
    group.next_deadline_ms = min(deadlines, default=None)
    return group.take_step()


def check_epoch(group: ConsumerGroup, member_id: str, epoch: int) -> ErrorCode:
    """Whether who commits or fetches offsets is where it thinks it is. A tool, without an epoch,
    may commit while the group is empty."""
    if epoch < 0 and not group.members and group.outsiders_out_until_ms is None:
        return ErrorCode.NONE
    member = group.members.get(member_id)
    if member is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    if epoch == member.epoch:
        return ErrorCode.NONE
    is_classic = member.classic is not None
    return ErrorCode.ILLEGAL_GENERATION if is_classic else ErrorCode.STALE_MEMBER_EPOCH


def _commit(group: ConsumerGroup, request: Commit, now_ms: int) -> None:
    error = ErrorCode.NONE
    if request.fences_members and group.members:
        _fence_everyone(group, now_ms)
    elif not (
        request.is_anonymous_part_of_transaction
        and request.generation < 0
        and group.outsiders_out_until_ms is None
    ):
        error = check_epoch(group, request.member_id, request.generation)
        if error is ErrorCode.STALE_MEMBER_EPOCH and _has_had_all_since(group, request):
            error = ErrorCode.NONE
    if not error:
        group.commit_offsets(request)
    group.tell(request.token, CommitAnswer(error))


def _has_had_all_since(group: ConsumerGroup, request: Commit) -> bool:
    """Whether a member that has not heard of its newest epoch yet commits what it had in the older
    one and has still, which cannot be in anybody else's way (KIP-1251)."""
    member = group.members[request.member_id]
    if not JOIN < request.generation < member.epoch:
        return False
    topics = group.topics.by_name
    pairs = [
        (topics[offset.topic].id, offset.partition)
        for offset in request.offsets
        if offset.topic in topics
    ]
    return len(pairs) == len(request.offsets) and all(
        member.since.get(pair, request.generation + 1) <= request.generation for pair in pairs
    )


def _fence_everyone(group: ConsumerGroup, now_ms: int) -> None:
    """An administrator resets the group while it reads: all join again and find other offsets."""
    session_ms = max(group.session_timeout_ms(member) for member in group.members.values())
    group.outsiders_out_until_ms = group.in_time(now_ms + session_ms)
    for member in list(group.members.values()):
        group.remove(member)
    rebalance(group, "an administrator reset its offsets")


def _remove(group: ConsumerGroup, request: Leave) -> None:
    """An administrator sends members away (KIP-345); members themselves leave by heartbeat."""
    members_before = len(group.members)
    errors = tuple(_let_go(group, leaving) for leaving in request.members)
    if len(group.members) < members_before:
        rebalance(group, "members were removed")
    group.tell(request.token, LeaveAnswer(errors))


def _let_go(group: ConsumerGroup, leaving: Leaving) -> ErrorCode:
    member_id = leaving.member_id or group.static_ids.get(leaving.instance_id or "", "")
    error = group.check_member(member_id, leaving.instance_id)
    if not error:
        group.remove(group.members[member_id])
    return error


def _delete(group: ConsumerGroup, request: Delete) -> None:
    error = ErrorCode.NON_EMPTY_GROUP if group.members else ErrorCode.NONE
    if not error:
        group.is_deleted = True
        group.change(GroupDeleted(group.group_id))
    group.tell(request.token, DeleteAnswer(error))


def _delete_offsets(group: ConsumerGroup, request: DeleteOffsets) -> None:
    """Nobody who reads a topic loses its place in it."""
    read = subscribed_topics(group)
    named = {name for member in group.members.values() for name in member.names}
    kept = {topic for topic, _ in request.partitions if topic in read or topic in named}
    if any(member.pattern for member in group.members.values()) and not group.topics.by_name:
        kept = {topic for topic, _ in request.partitions}  # what it means is not known yet
    forgotten = tuple(pair for pair in request.partitions if pair[0] not in kept)
    if forgotten:
        group.forget_offsets(forgotten)
    errors = tuple(
        ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if topic in kept else ErrorCode.NONE
        for topic, _ in request.partitions
    )
    group.tell(request.token, DeleteOffsetsAnswer(errors=errors))
