"""Who shall read what: the target of each member, and the group epoch that numbers it."""

from typing import Final
from uuid import UUID

from headrace.groups.share_assignor import simple
from headrace.groups.share_group import ShareGroup
from headrace.groups.subscribers import Assignment, Subscriber
from headrace.groups.topics_image import NO_TOPICS, TopicsImage

__all__ = ["rebalance", "see_topics"]

REASON_LENGTH_MAX: Final = 500
"""Of the text that people see."""


def rebalance(group: ShareGroup, reason: str) -> None:
    """Begin the next epoch: the group's members or what they want have changed."""
    _begin_epoch(group, _target(group), reason)


def see_topics(group: ShareGroup, topics: TopicsImage) -> None:
    """Begin an epoch if what exists now makes a difference to the group."""
    if topics is group.topics:
        return
    is_first_look = group.topics is NO_TOPICS  # what it shall read may have gone meanwhile
    sizes_before = _sizes(group)
    group.topics = topics
    if group.members and (is_first_look or _sizes(group) != sizes_before):
        target = _target(group)
        if any(member.target != target[name] for name, member in group.members.items()):
            _begin_epoch(group, target, "the subscribed topics have changed")


def _sizes(group: ShareGroup) -> dict[UUID, int]:
    """Partitions of each subscribed topic, by name."""
    names = {name for member in group.members.values() for name in member.names}
    known = group.topics.by_name
    return {known[name].id: known[name].partitions for name in sorted(names & known.keys())}


def _target(group: ShareGroup) -> Assignment:
    if group.topics is NO_TOPICS:  # back from a restart: who is left keeps what it had
        return {member.member_id: member.target for member in group.members.values()}
    known = group.topics.by_name
    subscribers = [
        Subscriber(
            member.member_id,
            None,
            frozenset(known[name].id for name in member.names if name in known),
            member.target,
        )
        for member in group.members.values()
    ]
    return simple(subscribers, _sizes(group))


def _begin_epoch(group: ShareGroup, target: Assignment, reason: str) -> None:
    for member in group.members.values():
        member.target = target[member.member_id]
    group.generation += 1
    group.rebalances += 1
    group.rebalance_reason = reason[:REASON_LENGTH_MAX]
    group.mark_unsaved()
