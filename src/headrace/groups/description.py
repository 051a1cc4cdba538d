"""What people and metrics are shown of a group."""

from typing import NamedTuple

from headrace.groups.group import Group
from headrace.groups.states import State

__all__ = ["GroupDescription", "MemberDescription", "describe"]


class MemberDescription(NamedTuple):
    """`metadata` and `assignment` are empty unless the group is stable."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


class GroupDescription(NamedTuple):
    group_id: str
    state: State
    protocol_type: str
    """Empty for a group that only ever committed offsets."""
    protocol: str
    """Empty unless the group is stable."""
    generation: int
    leader: str
    members: tuple[MemberDescription, ...]
    rebalances: int
    """Since the broker started."""
    rebalance_reason: str
    """Of the last one."""


def describe(group: Group) -> GroupDescription:
    is_stable = group.state is State.STABLE
    return GroupDescription(
        group_id=group.group_id,
        state=group.state,
        protocol_type=group.protocol_type or "",
        protocol=(group.protocol or "") if is_stable else "",
        generation=group.generation,
        leader=group.leader or "",
        members=tuple(
            MemberDescription(
                member.member_id,
                member.instance_id,
                member.client_id,
                member.client_host,
                member.metadata_for(group.protocol) if is_stable else b"",
                member.assignment if is_stable else b"",
            )
            for member in group.members.values()
        ),
        rebalances=group.rebalances,
        rebalance_reason=group.rebalance_reason,
    )
