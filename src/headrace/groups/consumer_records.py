"""A next-generation group as it is after a restart: all but deadlines."""

from dataclasses import dataclass

from headrace.groups.states import State
from headrace.groups.topics_image import TopicPartition

__all__ = ["ClassicPart", "ConsumerGroupRecord", "ConsumerMemberRecord"]

Partitions = frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class ClassicPart:
    """What only a member of the classic protocol has, that lives in a next-generation group."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    """(assignor, subscription), most wanted first; at least one, of which the first is read."""


@dataclass(frozen=True, slots=True)
class ConsumerMemberRecord:
    member_id: str
    instance_id: str | None
    rack_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    names: frozenset[str]
    """Topics subscribed to by name."""
    pattern: str
    """A regular expression of more topics; empty: none."""
    assignor: str | None
    """None: it leaves the choice to others."""
    epoch: int
    """Of the group, at which it is; LEAVE_FOR_A_WHILE for a static member that is away."""
    previous_epoch: int
    """The one it still uses if our last answer was lost."""
    assigned: Partitions
    """What it is told to have."""
    revoking: Partitions
    """What it had, and has not said yet that it gave up."""
    target: Partitions
    """What it shall have once others have given that up."""
    classic: ClassicPart | None = None
    """None: it speaks the next-generation protocol."""


@dataclass(frozen=True, slots=True)
class ConsumerGroupRecord:
    group_id: str
    state: State
    generation: int
    """The group epoch."""
    assignor: str
    members: tuple[ConsumerMemberRecord, ...]
