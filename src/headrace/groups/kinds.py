"""The kinds of groups behind one face, and how one becomes another.

An empty group is of the kind of whoever joins it first; while it has members of one kind it refuses
the other. A share group is one from its first member until it is deleted, and no other group
becomes one: what it has read of a partition is more than an offset.
"""

from headrace.groups import classic, consumer, share
from headrace.groups.changes import SavedRecord, Step
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_records import ConsumerGroupRecord
from headrace.groups.consumer_requests import ConsumerHeartbeat, ConsumerHeartbeatAnswer
from headrace.groups.group import Group
from headrace.groups.requests import Join, Request
from headrace.groups.settings import GroupSettings
from headrace.groups.share_group import ShareGroup
from headrace.groups.share_records import ShareGroupRecord
from headrace.groups.share_requests import ShareHeartbeat, ShareHeartbeatAnswer
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode

__all__ = [
    "AnyGroup",
    "AnyRecord",
    "as_classic",
    "as_consumer",
    "forget_offsets",
    "restore",
    "step",
    "tick",
]

AnyGroup = Group | ConsumerGroup | ShareGroup
AnyRecord = SavedRecord


def step(group: AnyGroup, request: Request, now_ms: int) -> Step:
    """Serve one request; see `classic` and `consumer`. `becomes` of the step is to be looked at."""
    if isinstance(group, ShareGroup):
        return share.step(group, request, now_ms)
    if isinstance(request, ShareHeartbeat):
        message = f"{group.group_id!r} is no share group; delete it first if its id is to be used"
        group.tell(request.token, ShareHeartbeatAnswer(ErrorCode.GROUP_ID_NOT_FOUND, message))
        return group.take_step()
    if isinstance(group, ConsumerGroup):
        if isinstance(request, Join) and group.state is State.EMPTY:
            changed = as_classic(group)
            return classic.step(changed, request, now_ms)._replace(becomes=changed)
        return consumer.step(group, request, now_ms)
    if isinstance(request, ConsumerHeartbeat):
        return _taken_over(group, request, now_ms)
    return classic.step(group, request, now_ms)


def _taken_over(group: Group, request: ConsumerHeartbeat, now_ms: int) -> Step:
    """A next-generation member comes to a classic group."""
    if group.state is not State.EMPTY:
        refusal = ConsumerHeartbeatAnswer(
            ErrorCode.GROUP_ID_NOT_FOUND,
            f"group {group.group_id!r} has members of the classic protocol; "
            "once they have left it can be used with the consumer protocol",
        )
        group.tell(request.token, refusal)
        return group.take_step()
    changed = as_consumer(group)
    return consumer.step(changed, request, now_ms)._replace(becomes=changed)


def tick(group: AnyGroup, now_ms: int) -> Step:
    if isinstance(group, ShareGroup):
        return share.tick(group, now_ms)
    if isinstance(group, ConsumerGroup):
        return consumer.tick(group, now_ms)
    return classic.tick(group, now_ms)


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


def as_consumer(group: Group) -> ConsumerGroup:
    """An empty classic group as a next-generation one."""
    made = ConsumerGroup(group.group_id, group.settings, group.generation)
    made.outsiders_out_until_ms = group.outsiders_out_until_ms
    return made


def as_classic(group: ConsumerGroup) -> Group:
    """An empty next-generation group as a classic one."""
    made = Group(group.group_id, group.settings)
    made.generation = group.generation
    made.outsiders_out_until_ms = group.outsiders_out_until_ms
    return made
