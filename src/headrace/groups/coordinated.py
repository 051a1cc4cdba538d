"""What groups of every kind have in common: what a step leaves behind, when time matters next, and
who may speak for a member.

What must not enter: states, and what any kind of group does with a request.
"""

from typing import Generic, Protocol, TypeVar

from headrace.groups.changes import (
    Change,
    GroupSaved,
    OffsetsCommitted,
    OffsetsForgotten,
    OffsetsPending,
    PendingEnded,
    Reply,
    SavedRecord,
    Step,
)
from headrace.groups.requests import Answer, Commit, CommitAnswer, EndPending, Token
from headrace.groups.settings import GroupSettings
from headrace.wire.errors import ErrorCode

__all__ = ["Coordinated"]


class _Member(Protocol):
    member_id: str
    instance_id: str | None


M = TypeVar("M", bound=_Member)


class Coordinated(Generic[M]):
    """A group of one kind derives from this and says what its `state` and its `record()` are."""

    def __init__(self, group_id: str, settings: GroupSettings, generation: int = 0) -> None:
        self.group_id = group_id
        self.settings = settings
        self.generation = generation
        self.members: dict[str, M] = {}
        self.static_ids: dict[str, str] = {}
        """Instance id -> member id."""
        self.outsiders_out_until_ms: int | None = None
        """Set while members that were fenced may take themselves for outsiders: nobody but
        members may commit."""
        self.next_deadline_ms: int | None = None
        """No deadline of the group is earlier."""
        self.rebalances = 0
        self.rebalance_reason = ""
        self._changes: list[Change] = []
        self._replies: list[Reply] = []
        self._unsaved = False

    @property
    def is_dead(self) -> bool:
        """Deleted; known without looking at every member."""
        raise NotImplementedError

    def record(self) -> SavedRecord:
        raise NotImplementedError

    # Effects

    def tell(self, token: Token, answer: Answer) -> None:
        self._replies.append(Reply(token, answer))

    def change(self, change: Change) -> None:
        self._changes.append(change)

    def commit_offsets(self, request: Commit) -> None:
        """What the request commits, at once or with the producer's transaction."""
        if request.producer_id < 0:
            self.change(OffsetsCommitted(self.group_id, request.offsets))
        else:
            self.change(OffsetsPending(self.group_id, request.producer_id, request.offsets))

    def end_pending(self, request: EndPending) -> None:
        self.change(PendingEnded(self.group_id, request.producer_id, request.commit))
        self.tell(request.token, CommitAnswer())

    def forget_offsets(self, partitions: tuple[tuple[str, int], ...]) -> None:
        """Offsets that have expired, were deleted, or whose topic is gone."""
        self.change(OffsetsForgotten(self.group_id, partitions))

    def mark_unsaved(self) -> None:
        """What must survive a restart has changed: the step saves the group."""
        self._unsaved = True

    def take_step(self) -> Step:
        """What happened since the last call."""
        if self._unsaved and not self.is_dead:
            self._changes.append(GroupSaved(self.record))
        step = Step(tuple(self._changes), tuple(self._replies), self.next_deadline_ms)
        self._changes.clear()
        self._replies.clear()
        self._unsaved = False
        return step

    # Time

    def in_time(self, deadline_ms: int) -> int:
        """Note a deadline so that the group is ticked by then."""
        if self.next_deadline_ms is None or deadline_ms < self.next_deadline_ms:
            self.next_deadline_ms = deadline_ms
        return deadline_ms

    # Who is in it

    def check_member(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """NONE if this member may speak for itself."""
        if instance_id is not None:
            holder = self.static_ids.get(instance_id)
            if holder is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if holder != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def _put(self, member: M) -> None:
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_ids[member.instance_id] = member.member_id

    def _take_out(self, member_id: str) -> M:
        member = self.members.pop(member_id)
        if member.instance_id is not None:
            del self.static_ids[member.instance_id]
        return member
