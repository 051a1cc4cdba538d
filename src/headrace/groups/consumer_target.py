"""Who shall have what: the target assignment, and the group epoch that numbers it."""

from collections import Counter
from typing import Final, TypeGuard
from uuid import UUID

from headrace.groups.assignors import ASSIGNORS, BALANCED
from headrace.groups.balanced import has_shifted, rebalanced
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_member import NOTHING, ConsumerMember
from headrace.groups.consumer_requests import Weigh
from headrace.groups.states import State
from headrace.groups.subscribers import Assignment, Subscriber
from headrace.groups.topics_image import NO_TOPICS, TopicFacts, TopicsImage

__all__ = ["goes_by_weight", "rebalance", "see_loads", "see_topics", "subscribed_topics"]

REASON_LENGTH_MAX: Final = 500
"""Of the text that people see."""


def rebalance(group: ConsumerGroup, reason: str) -> None:
    """Begin the next epoch: the group's members or what they want have changed."""
    _begin_epoch(group, _target(group), reason)


def see_topics(group: ConsumerGroup, topics: TopicsImage) -> None:
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


def see_loads(group: ConsumerGroup, seen: Weigh) -> None:
    """Note what partitions carry now; begin an epoch if that makes moving some worth it."""
    group.weights = seen.weights
    if group.topics is NO_TOPICS:
        return  # it has just come back from a restart, and nobody has asked for anything yet
    if not seen.may_move or group.assignor != BALANCED or group.state is not State.STABLE:
        return
    sizes = _sizes(group)
    if group.judged_by is None or has_shifted(group.judged_by, seen.weights, sizes):
        group.judged_by = seen.weights
        target = rebalanced(_subscribers(group), sizes, seen.weights)
        if target is not None:
            _begin_epoch(group, target, "what partitions carry has shifted")


def goes_by_weight(group: object) -> TypeGuard[ConsumerGroup]:
    """Whether what partitions carry matters to the group."""
    return isinstance(group, ConsumerGroup) and group.assignor == BALANCED and bool(group.members)


def subscribed_topics(group: ConsumerGroup) -> frozenset[str]:
    """Names of existing topics that any member wants to read."""
    return frozenset(topic.name for topics in _wanted(group).values() for topic in topics)


Subscription = tuple[frozenset[str], str]
"""Names, and a pattern of more. Most members of a group have the same one."""


def _subscription(member: ConsumerMember) -> Subscription:
    return member.names, "" if member.pattern is None else member.pattern.expression


def _wanted(group: ConsumerGroup) -> dict[Subscription, list[TopicFacts]]:
    """What exists of each subscription that a member has."""
    known = group.topics.by_name
    wanted: dict[Subscription, list[TopicFacts]] = {}
    for member in group.members.values():
        subscription = _subscription(member)
        if subscription not in wanted:
            topics = [known[name] for name in member.names if name in known]
            if member.pattern is not None:
                matching = group.topics.matching(member.pattern)
                topics += [topic for topic in matching if topic.name not in member.names]
            wanted[subscription] = topics
    return wanted


def _sizes(group: ConsumerGroup) -> dict[UUID, int]:
    """Partitions of each subscribed topic, by name."""
    wanted = {topic for topics in _wanted(group).values() for topic in topics}
    return {topic.id: topic.partitions for topic in sorted(wanted, key=lambda topic: topic.name)}


def _target(group: ConsumerGroup) -> Assignment:
    if not group.members:
        return {}
    offered = group.settings.consumer_assignors
    wanted = (member.assignor for member in group.members.values())
    votes = Counter(assignor for assignor in wanted if assignor in offered)
    group.assignor = votes.most_common(1)[0][0] if votes else offered[0]
    group.judged_by = group.weights or {}
    if group.topics is NO_TOPICS:  # back from a restart: who is left keeps what it had
        return {member.member_id: member.target for member in group.members.values()}
    return ASSIGNORS[group.assignor](_subscribers(group), _sizes(group), group.judged_by)


def _subscribers(group: ConsumerGroup) -> list[Subscriber]:
    ids = {
        subscription: frozenset(topic.id for topic in topics)
        for subscription, topics in _wanted(group).items()
    }
    return [
        Subscriber(member.member_id, member.instance_id, ids[_subscription(member)], member.target)
        for member in group.members.values()
    ]


def _begin_epoch(group: ConsumerGroup, target: Assignment, reason: str) -> None:
    for member in group.members.values():
        member.target = target.get(member.member_id, NOTHING)
    group.generation += 1
    group.rebalances += 1
    group.rebalance_reason = reason[:REASON_LENGTH_MAX]
    group.mark_unsaved()
