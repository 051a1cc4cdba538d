"""What people and metrics are shown of a group."""

from enum import Enum
from typing import NamedTuple

from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_records import ConsumerMemberRecord
from headrace.groups.kinds import AnyGroup
from headrace.groups.share_assignor import SIMPLE
from headrace.groups.share_group import ShareGroup
from headrace.groups.states import State
from headrace.groups.topics_image import TopicPartition

__all__ = [
    "ConsumerGroupDescription",
    "GroupDescription",
    "GroupType",
    "MemberDescription",
    "ShareGroupDescription",
    "ShareMemberDescription",
    "describe",
    "describe_consumer",
    "describe_share",
]


class GroupType(Enum):
    """The values are the names that ListGroups shows."""

    CLASSIC = "classic"
    CONSUMER = "consumer"
    SHARE = "share"


class MemberDescription(NamedTuple):
    """`metadata` and `assignment` are empty unless the group is classic and stable."""

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
    """What the members, or in other than classic groups the broker, assign by. Empty unless a
    classic group is stable."""
    generation: int
    leader: str
    members: tuple[MemberDescription, ...]
    rebalances: int
    """Since the broker started."""
    rebalance_reason: str
    """Of the last one."""
    type: GroupType


class ConsumerGroupDescription(NamedTuple):
    """A next-generation group with all that its members have and shall have."""

    group_id: str
    state: State
    generation: int
    assignor: str
    members: tuple[ConsumerMemberRecord, ...]


class ShareMemberDescription(NamedTuple):
    member_id: str
    rack_id: str | None
    epoch: int
    client_id: str
    client_host: str
    names: frozenset[str]
    """Topics subscribed to."""
    assigned: frozenset[TopicPartition]
    """What it was told to read, in its epoch."""


class ShareGroupDescription(NamedTuple):
    """A share group with what its members read."""

    group_id: str
    state: State
    generation: int
    assignor: str
    members: tuple[ShareMemberDescription, ...]


def describe_share(group: ShareGroup) -> ShareGroupDescription:
    return ShareGroupDescription(
        group.group_id,
        group.state,
        group.generation,
        SIMPLE,
        tuple(
            ShareMemberDescription(
                member.member_id,
                member.rack_id,
                member.epoch,
                member.client_id,
                member.client_host,
                member.names,
                member.assigned,
            )
            for member in group.members.values()
        ),
    )


def describe_consumer(group: ConsumerGroup) -> ConsumerGroupDescription:
    record = group.record()
    return ConsumerGroupDescription(
        group.group_id, record.state, record.generation, record.assignor, record.members
    )


def describe(group: AnyGroup) -> GroupDescription:
    if isinstance(group, ShareGroup):
        return _describe_assigned(group, GroupType.SHARE, SIMPLE)
    if isinstance(group, ConsumerGroup):
        return _describe_assigned(group, GroupType.CONSUMER, group.assignor)
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
        type=GroupType.CLASSIC,
    )


def _describe_assigned(
    group: ConsumerGroup | ShareGroup, kind: GroupType, assignor: str
) -> GroupDescription:
    """Of a group whose partitions the broker assigns."""
    return GroupDescription(
        group_id=group.group_id,
        state=group.state,
        protocol_type=kind.value,
        protocol=assignor if group.members else "",
        generation=group.generation,
        leader="",
        members=tuple(
            MemberDescription(
                member.member_id,
                member.instance_id,
                member.client_id,
                member.client_host,
                b"",
                b"",
            )
            for member in group.members.values()
        ),
        rebalances=group.rebalances,
        rebalance_reason=group.rebalance_reason,
        type=kind,
    )
