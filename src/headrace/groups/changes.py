"""What a step leaves to be made durable, and the answers that wait for it.

Changes of one group are written in the order in which its steps gave them; an answer leaves after
every change of its own and of earlier steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from headrace.groups.consumer_records import ConsumerGroupRecord
from headrace.groups.requests import Answer, OffsetToCommit, Token
from headrace.groups.share_records import ShareGroupRecord
from headrace.groups.states import State

if TYPE_CHECKING:
    from headrace.groups.kinds import AnyGroup

__all__ = [
    "Change",
    "GroupDeleted",
    "GroupRecord",
    "GroupSaved",
    "MemberRecord",
    "OffsetsCommitted",
    "OffsetsForgotten",
    "OffsetsPending",
    "PendingEnded",
    "Reply",
    "SavedRecord",
    "Step",
]


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A member as it is after a restart: all but its deadlines and parked requests."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    assignment: bytes


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group as it is after a restart."""

    group_id: str
    state: State
    generation: int
    protocol_type: str | None
    """None for a group that only ever committed offsets. Kept when the group empties."""
    protocol: str | None
    leader: str | None
    members: tuple[MemberRecord, ...]


SavedRecord = GroupRecord | ConsumerGroupRecord | ShareGroupRecord


@dataclass(frozen=True, slots=True)
class GroupSaved:
    """The whole group: a later one replaces an earlier one.

    Of the many that a large group leaves while it forms only a few are written, so the record is
    made when it is asked for: of the group as it is then.
    """

    render: Callable[[], SavedRecord]

    @property
    def record(self) -> SavedRecord:
        return self.render()


@dataclass(frozen=True, slots=True)
class GroupDeleted:
    """The group and every offset it committed."""

    group_id: str


@dataclass(frozen=True, slots=True)
class OffsetsCommitted:
    """The time of a commit is the time of its writing."""

    group_id: str
    offsets: tuple[OffsetToCommit, ...]


@dataclass(frozen=True, slots=True)
class OffsetsPending:
    """Committed if the producer's transaction is."""

    group_id: str
    producer_id: int
    offsets: tuple[OffsetToCommit, ...]


@dataclass(frozen=True, slots=True)
class PendingEnded:
    """What was pending for the producer is committed now, or gone."""

    group_id: str
    producer_id: int
    commit: bool


@dataclass(frozen=True, slots=True)
class OffsetsForgotten:
    """Expired, or of a deleted topic."""

    group_id: str
    partitions: tuple[tuple[str, int], ...]


Change = (
    GroupSaved | GroupDeleted | OffsetsCommitted | OffsetsForgotten | OffsetsPending | PendingEnded
)


class Reply(NamedTuple):
    token: Token
    answer: Answer


class Step(NamedTuple):
    """`next_deadline_ms`: call `tick` then; None when nothing is waited for. It may be too early
    (a heartbeat moves a deadline away without looking for the next one), never too late."""

    changes: tuple[Change, ...]
    replies: tuple[Reply, ...]
    next_deadline_ms: int | None
    becomes: "AnyGroup | None" = None
    """The group from now on, if it is of another kind."""
    lapsed: tuple[str, ...] = ()
    """Members of a share group that were given up: what they hold is for others now."""
