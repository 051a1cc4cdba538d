"""The state of one share group (KIP-932): its members, and what each of them shall read.

A partition is read by one member or by many, so unlike in a consumer group nobody owns it and
nothing has to be given up first: a member moves to its target with its next heartbeat. Which
records a member holds is none of the group's business; that belongs to the share partitions.

What must not enter: who may speak (`share_heartbeat`), who reads what (`share_target`), records,
offsets, locks.
"""

from headrace.groups.coordinated import Coordinated
from headrace.groups.settings import GroupSettings
from headrace.groups.share_member import ShareMember
from headrace.groups.share_records import ShareGroupRecord
from headrace.groups.states import State
from headrace.groups.topics_image import NO_TOPICS, TopicsImage

__all__ = ["ShareGroup"]


class ShareGroup(Coordinated[ShareMember]):
    """An empty group at first; `restore` makes one from what was saved. Its generation is the
    group epoch, of which every member's target is."""

    def __init__(self, group_id: str, settings: GroupSettings, generation: int = 0) -> None:
        super().__init__(group_id, settings, generation)
        self.topics: TopicsImage = NO_TOPICS
        self.is_deleted = False

    @classmethod
    def restore(
        cls, record: ShareGroupRecord, settings: GroupSettings, now_ms: int
    ) -> "ShareGroup":
        """As it was, with all sessions started afresh."""
        group = cls(record.group_id, settings, record.generation)
        for saved in record.members:
            member = ShareMember(saved, record.generation)
            group.add(member)
            group.heard_of(member, now_ms)
        return group

    @property
    def is_dead(self) -> bool:
        return self.is_deleted

    @property
    def state(self) -> State:
        if self.is_deleted:
            return State.DEAD
        return State.STABLE if self.members else State.EMPTY

    def record(self) -> ShareGroupRecord:
        return ShareGroupRecord(
            self.group_id,
            self.state,
            self.generation,
            tuple(member.record() for member in self.members.values()),
        )

    def heard_of(self, member: ShareMember, now_ms: int) -> None:
        """Start its session anew."""
        member.deadline_ms = self.in_time(now_ms + self.settings.share_session_timeout_ms)

    def add(self, member: ShareMember) -> None:
        self._put(member)

    def remove(self, member_id: str) -> None:
        self._take_out(member_id)
        self.mark_unsaved()
