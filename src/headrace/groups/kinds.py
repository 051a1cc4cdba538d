"""The kinds of groups behind one face, and how one becomes another.

An empty group is of the kind of whoever joins it first. A classic group becomes a next-generation
one with its first next-generation member, and a classic one again when only classic members are
left (`conversion`). A share group is one from its first member until it is deleted, and no other
group becomes one: what it has read of a partition is more than an offset.
"""

from headrace.groups import classic, consumer, share
from headrace.groups.changes import SavedRecord, Step
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_records import ConsumerGroupRecord
from headrace.groups.consumer_requests import JOIN, ConsumerHeartbeat, ConsumerHeartbeatAnswer
from headrace.groups.conversion import (
    answer_waiting,
    downgraded,
    is_to_be_downgraded,
    upgraded,
)
from headrace.groups.group import Group
from headrace.groups.requests import EndPending, Join, Request
from headrace.groups.settings import GroupSettings
from headrace.groups.share_group import ShareGroup
from headrace.groups.share_records import ShareGroupRecord
from headrace.groups.share_requests import ShareHeartbeat, ShareHeartbeatAnswer
from headrace.wire.errors import ErrorCode, RequestError

__all__ = [
    "AnyGroup",
    "AnyRecord",
    "forget_offsets",
    "restore",
    "step",
    "tick",
]

AnyGroup = Group | ConsumerGroup | ShareGroup
AnyRecord = SavedRecord


def step(group: AnyGroup, request: Request, now_ms: int) -> Step:
    """Serve one request; see `classic` and `consumer`. `becomes` of the step is to be looked at."""
    if isinstance(request, EndPending):
        group.end_pending(request)
        return group.take_step()
    if isinstance(group, ShareGroup):
        return share.step(group, request, now_ms)
    if isinstance(request, ShareHeartbeat):
        message = f"{group.group_id!r} is no share group; delete it first if its id is to be used"
        group.tell(request.token, ShareHeartbeatAnswer(ErrorCode.GROUP_ID_NOT_FOUND, message))
        return group.take_step()
    if isinstance(group, ConsumerGroup):
        if isinstance(request, Join) and not group.members:
            return _back_to_classic(group, request, now_ms)
        return _settled(group, consumer.step(group, request, now_ms), now_ms)
    if isinstance(request, ConsumerHeartbeat):
        return _to_consumer(group, request, now_ms)
    return classic.step(group, request, now_ms)


def tick(group: AnyGroup, now_ms: int) -> Step:
    if isinstance(group, ShareGroup):
        return share.tick(group, now_ms)
    if isinstance(group, ConsumerGroup):
        return _settled(group, consumer.tick(group, now_ms), now_ms)
    return classic.tick(group, now_ms)


def _to_consumer(group: Group, request: ConsumerHeartbeat, now_ms: int) -> Step:
    """A next-generation member comes to a classic group. Unless it can join, nothing changes."""
    if request.member_epoch != JOIN:
        error, message = ErrorCode.UNKNOWN_MEMBER_ID, f"{request.member_id!r} is to join again"
        group.tell(request.token, ConsumerHeartbeatAnswer(error, message))
        return group.take_step()
    try:
        made = upgraded(group, request.topics, now_ms)
    except RequestError as refusal:
        answer = ConsumerHeartbeatAnswer(refusal.code, refusal.message)
        group.tell(request.token, answer)
        return group.take_step()
    joined = consumer.step(made, request, now_ms)
    if len(made.members) == made.classic_members:
        return joined._replace(changes=(), next_deadline_ms=group.next_deadline_ms)
    answered = answer_waiting(group, made, now_ms)
    return _both(joined, answered)._replace(becomes=made)


def _back_to_classic(group: ConsumerGroup, request: Join, now_ms: int) -> Step:
    """A classic member comes to an empty group."""
    made = downgraded(group, now_ms)
    return classic.step(made, request, now_ms)._replace(becomes=made)


def _settled(group: ConsumerGroup, taken: Step, now_ms: int) -> Step:
    """If only classic members are left, they go on as a classic group."""
    if not is_to_be_downgraded(group):
        return taken
    made = downgraded(group, now_ms)
    return _both(taken, made.take_step())._replace(becomes=made)


def _both(first: Step, second: Step) -> Step:
    return Step(
        first.changes + second.changes, first.replies + second.replies, second.next_deadline_ms
    )


def forget_offsets(group: AnyGroup, partitions: tuple[tuple[str, int], ...]) -> Step:
    """Offsets that have expired or whose topic is gone."""
    group.forget_offsets(partitions)
    return group.take_step()


def restore(record: AnyRecord, settings: GroupSettings, now_ms: int) -> AnyGroup:
    if isinstance(record, ShareGroupRecord):
        return ShareGroup.restore(record, settings, now_ms)
    if isinstance(record, ConsumerGroupRecord):
        return ConsumerGroup.restore(record, settings, now_ms)
    return Group.restore(record, settings, now_ms)
