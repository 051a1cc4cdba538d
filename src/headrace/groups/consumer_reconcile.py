"""One member's way from what it has to what it shall have.

        has a partition too many        said that it gave it up
  told ------------------------> revoking ---------------------.
    ^                                                          v
    '------------ what is free of its target is given <--------'

Its epoch becomes the group's when it has nothing left to give up; what others have not given up
yet it gets with a later heartbeat, in the same epoch.
"""

from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_member import ConsumerMember

__all__ = ["reconcile"]


def reconcile(group: ConsumerGroup, member: ConsumerMember, now_ms: int) -> None:
    """One step, after a heartbeat of this member.

    A revocation is confirmed by a heartbeat that comes after the answer which asked for it: an
    earlier one that does not name the partition may come from a member that is just taking it.
    """
    if member.revoking:
        if member.reported is None or member.reported & member.revoking:
            return
        group.release(member, member.revoking)
    too_many = member.assigned - member.target
    if too_many:
        member.assigned -= too_many
        member.revoking = too_many
        group.await_revocation(member, now_ms)
        group.mark_unsaved()
        return
    free = frozenset(
        partition for partition in member.target - member.assigned if partition not in group.owners
    )
    if free:
        group.give(member, free)
    if member.epoch != group.generation:
        member.previous_epoch, member.epoch = member.epoch, group.generation
        group.mark_unsaved()
