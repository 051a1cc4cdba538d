"""What a group is asked, and what it answers.

A request carries an opaque `token`; its one answer comes back with the same token, from the step
that took the request or from a later one. Strings and bytes are as the client sent them; versions
of the protocol show only as what they let a client do.
"""

from dataclasses import dataclass
from typing import NamedTuple

from headrace.groups.consumer_requests import ConsumerHeartbeat, ConsumerHeartbeatAnswer, Weigh
from headrace.groups.share_requests import ShareHeartbeat, ShareHeartbeatAnswer
from headrace.groups.topics_image import NO_TOPICS, TopicsImage
from headrace.wire.errors import ErrorCode

__all__ = [
    "Answer",
    "Commit",
    "CommitAnswer",
    "Delete",
    "DeleteAnswer",
    "DeleteOffsets",
    "DeleteOffsetsAnswer",
    "EndPending",
    "Heartbeat",
    "HeartbeatAnswer",
    "Join",
    "JoinAnswer",
    "JoinedMember",
    "Leave",
    "LeaveAnswer",
    "Leaving",
    "OffsetToCommit",
    "Request",
    "Sync",
    "SyncAnswer",
    "Token",
]

Token = int


class OffsetToCommit(NamedTuple):
    """The next offset to read. `leader_epoch` is -1 if the client gave none."""

    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str


class Leaving(NamedTuple):
    """A member that leaves; an administrator names a static one with an empty `member_id`."""

    member_id: str
    instance_id: str | None


class JoinedMember(NamedTuple):
    """What the leader is told about each member. `metadata` is for the chosen protocol."""

    member_id: str
    instance_id: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True)
class Join:
    member_id: str
    """Empty: the client has none yet."""
    protocol_type: str
    protocols: tuple[tuple[str, bytes], ...]
    """(name, metadata), most wanted first."""
    session_timeout_ms: int
    rebalance_timeout_ms: int
    """-1: the client knows only one timeout, the session's (v0)."""
    instance_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    accepts_member_id: bool = True
    """v4+ (KIP-394): is given an id first, and joins with it, so that lost answers leave no ghost
    in the group."""
    skips_assignment: bool = True
    """v9+ (KIP-814): understands that it leads and still must not assign."""
    reason: str = ""
    fresh_member_id: str = ""
    """What to call one that has no id; nobody else may bear it."""
    topics: TopicsImage = NO_TOPICS
    """What exists at this moment; looked at in next-generation groups. The same in Sync."""
    token: Token = 0


@dataclass(frozen=True, slots=True)
class Sync:
    member_id: str
    generation: int
    assignments: tuple[tuple[str, bytes], ...] = ()
    """(member id, its assignment); only the leader's count."""
    instance_id: str | None = None
    protocol_type: str | None = None
    """None: not told, not checked (before v5). The same with `protocol`."""
    protocol: str | None = None
    topics: TopicsImage = NO_TOPICS
    token: Token = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    member_id: str
    generation: int
    instance_id: str | None = None
    token: Token = 0


@dataclass(frozen=True, slots=True)
class Leave:
    members: tuple[Leaving, ...]
    token: Token = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """`generation` -1 with an empty `member_id`: a consumer that assigns itself, or a tool."""

    offsets: tuple[OffsetToCommit, ...]
    member_id: str = ""
    generation: int = -1
    instance_id: str | None = None
    producer_id: int = -1
    """Of the transaction that the offsets are part of: they count when it is committed."""
    fences_members: bool = False
    """From an administrator, about whoever is in the group: they are out, and find these offsets
    when they have joined again."""
    token: Token = 0

    @property
    def is_anonymous_part_of_transaction(self) -> bool:
        return self.producer_id >= 0 and not self.member_id and self.instance_id is None


@dataclass(frozen=True, slots=True)
class EndPending:
    """The producer's transaction is decided: the offsets that are part of it count, or never
    happened. From the broker itself; answered like a commit."""

    producer_id: int
    commit: bool
    token: Token = 0


@dataclass(frozen=True, slots=True)
class Delete:
    token: Token = 0


@dataclass(frozen=True, slots=True)
class DeleteOffsets:
    """(topic, partition) pairs whose offsets are to be forgotten."""

    partitions: tuple[tuple[str, int], ...]
    token: Token = 0


Request = (
    Join
    | Sync
    | Heartbeat
    | Leave
    | Commit
    | Delete
    | DeleteOffsets
    | EndPending
    | ConsumerHeartbeat
    | ShareHeartbeat
    | Weigh
)


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    error: ErrorCode = ErrorCode.NONE
    member_id: str = ""
    """With MEMBER_ID_REQUIRED: the id to join with."""
    generation: int = -1
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: tuple[JoinedMember, ...] = ()
    """Everyone, for the leader; empty for others."""


@dataclass(frozen=True, slots=True)
class SyncAnswer:
    error: ErrorCode = ErrorCode.NONE
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    error: ErrorCode = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class LeaveAnswer:
    errors: tuple[ErrorCode, ...]
    """One for each member of the request, in its order."""


@dataclass(frozen=True, slots=True)
class CommitAnswer:
    error: ErrorCode = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    error: ErrorCode = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class DeleteOffsetsAnswer:
    error: ErrorCode = ErrorCode.NONE
    """Of the whole request; then `errors` is empty."""
    errors: tuple[ErrorCode, ...] = ()
    """One for each partition of the request, in its order."""


Answer = (
    JoinAnswer
    | SyncAnswer
    | HeartbeatAnswer
    | LeaveAnswer
    | CommitAnswer
    | DeleteAnswer
    | DeleteOffsetsAnswer
    | ConsumerHeartbeatAnswer
    | ShareHeartbeatAnswer
)
