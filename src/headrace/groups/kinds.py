"""The two kinds of groups behind one face, and how one becomes the other.

An empty group is of the kind of whoever joins it first; while it has members of one kind it refuses
the other.
"""

from headrace.groups import classic, consumer
from headrace.groups.changes import SavedRecord, Step
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_records import ConsumerGroupRecord
from headrace.groups.group import Group
from headrace.groups.requests import Request
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State

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

AnyGroup = Group | ConsumerGroup
AnyRecord = SavedRecord


def step(group: AnyGroup, request: Request, now_ms: int) -> Step:
    if isinstance(group, ConsumerGroup):
        return consumer.step(group, request, now_ms)
    return classic.step(group, request, now_ms)


def tick(group: AnyGroup, now_ms: int) -> Step:
    if isinstance(group, ConsumerGroup):
        return consumer.tick(group, now_ms)
    return classic.tick(group, now_ms)


def forget_offsets(group: AnyGroup, partitions: tuple[tuple[str, int], ...]) -> Step:
    """Offsets that have expired or whose topic is gone."""
    group.forget_offsets(partitions)
    return group.take_step()


def restore(record: AnyRecord, settings: GroupSettings, now_ms: int) -> AnyGroup:
    if isinstance(record, ConsumerGroupRecord):
        return ConsumerGroup.restore(record, settings, now_ms)
    return Group.restore(record, settings, now_ms)


def as_consumer(group: Group) -> ConsumerGroup | None:
    """An empty classic group as a next-generation one; None if it has members."""
    if group.state is not State.EMPTY:
        return None
    made = ConsumerGroup(group.group_id, group.settings, group.generation)
    made.outsiders_out_until_ms = group.outsiders_out_until_ms
    return made


def as_classic(group: ConsumerGroup) -> Group | None:
    """An empty next-generation group as a classic one; None if it has members."""
    if group.state is not State.EMPTY:
        return None
    classic_group = Group(group.group_id, group.settings)
    classic_group.generation = group.generation
    classic_group.outsiders_out_until_ms = group.outsiders_out_until_ms
    return classic_group
