"""One member's way from what it has to what it shall have.

        has a partition too many        said that it gave it up
  told ------------------------> revoking ---------------------.
    ^                                                          v
    '------------ what is free of its target is given <--------'

Its epoch becomes the group's when it has nothing left to give up; what others have not given up
yet it gets with a later heartbeat, in the same epoch. A member of the classic protocol makes a step
whenever it joins, and is told by its heartbeats that it `must_join`.
"""

from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_member import NOTHING, ConsumerMember
from headrace.groups.consumer_target import rebalance, see_topics
from headrace.groups.topics_image import TopicPartition, TopicsImage

__all__ = ["advance", "must_join", "reconcile"]


def advance(
    group: ConsumerGroup, member: ConsumerMember, topics: TopicsImage, reason: str, now_ms: int
) -> None:
    """A member was heard of: begin an epoch if there is a `reason` or `topics` are others, then
    bring the member one step forward."""
    if reason:
        group.topics = topics
        rebalance(group, reason)
    else:
        see_topics(group, topics)
    reconcile(group, member, now_ms)
    group.heard_of(member, now_ms)


def reconcile(group: ConsumerGroup, member: ConsumerMember, now_ms: int) -> None:
    """One step, after a heartbeat (or classic join) of this member.

    A revocation is confirmed by a heartbeat that comes after the answer which asked for it: an
    earlier one that does not name the partition may come from a member that is just taking it. Not
    so with a classic join: it is sent when all that was told before has been done.
    """
    if member.revoking:
        if member.reported is None or member.reported & member.revoking:
            return
        group.release(member, member.revoking)
    too_many = member.assigned - member.target
    if member.classic is not None:
        reported = NOTHING if member.reported is None else member.reported
        group.release(member, too_many - reported)
        too_many &= reported
    if too_many:
        member.assigned -= too_many
        member.revoking = too_many
        group.demand(member, now_ms)
        group.mark_unsaved()
        return
    free = _free_of_target(group, member)
    if free:
        group.give(member, free)
    if member.epoch != group.generation:
        member.previous_epoch, member.epoch = member.epoch, group.generation
        group.mark_unsaved()


def must_join(group: ConsumerGroup, member: ConsumerMember) -> bool:
    """Whether another JoinGroup of this member of the classic protocol would bring it forward."""
    return (
        member.epoch != group.generation
        or bool(member.revoking)
        or bool(_free_of_target(group, member))
    )


def _free_of_target(group: ConsumerGroup, member: ConsumerMember) -> frozenset[TopicPartition]:
    return frozenset(
        partition for partition in member.target - member.assigned if partition not in group.owners
    )
