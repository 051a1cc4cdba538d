"""What a member of a next-generation group (KIP-848) says with each heartbeat, and is answered.

There is one request for everything: join, stay, change the subscription, confirm a revocation,
leave. What has not changed since the last heartbeat is None.
"""

from dataclasses import dataclass
from typing import Final

from headrace.groups.subscribers import Weights
from headrace.groups.topics_image import NO_TOPICS, TopicPartition, TopicsImage
from headrace.wire.errors import ErrorCode

__all__ = [
    "JOIN",
    "LEAVE",
    "LEAVE_FOR_A_WHILE",
    "ConsumerHeartbeat",
    "ConsumerHeartbeatAnswer",
    "Weigh",
]

JOIN: Final = 0
LEAVE: Final = -1
LEAVE_FOR_A_WHILE: Final = -2
"""Of a static member: its place is kept until its session ends."""


@dataclass(frozen=True, slots=True)
class ConsumerHeartbeat:
    member_id: str
    member_epoch: int
    """Or JOIN, LEAVE, LEAVE_FOR_A_WHILE."""
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    """-1: not changed."""
    names: frozenset[str] | None = None
    pattern: str | None = None
    """A regular expression of topics; empty: no longer any."""
    assignor: str | None = None
    owned: frozenset[TopicPartition] | None = None
    """What it has now. A partition is given up when it was in here, and is no longer."""
    client_id: str = ""
    client_host: str = ""
    topics: TopicsImage = NO_TOPICS
    """What exists at this moment."""
    token: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerHeartbeatAnswer:
    error: ErrorCode = ErrorCode.NONE
    message: str = ""
    member_id: str = ""
    member_epoch: int = 0
    assignment: frozenset[TopicPartition] | None = None
    """All that the member shall have; None: as it was told before."""
    next_beat_ms: int = 0
    """From now on: when the member shall report again."""


@dataclass(frozen=True, slots=True)
class Weigh:
    """Of the broker itself: what the partitions that the group reads carry now. Not answered."""

    weights: Weights
    may_move: bool
    """Whether a group that is settled may be assigned anew because of it."""
    token: int = 0
