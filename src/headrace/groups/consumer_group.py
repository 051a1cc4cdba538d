"""The state of one next-generation group (KIP-848), and the few ways to change it.

Whoever was told to have a partition owns it until it says that it gave it up, leaves or is given
up: `owners` knows, and only a partition without an owner is assigned. So no two members ever read
one partition, and those whose partitions stay are not disturbed.

What must not enter: when to rebalance and who may speak (`consumer_heartbeat`), who gets what
(`consumer_target`), how it gets there (`consumer_reconcile`).
"""

from headrace.groups.assignors import DEFAULT_ASSIGNOR
from headrace.groups.changes import Change, GroupSaved, Reply
from headrace.groups.consumer_member import NOTHING, ConsumerMember
from headrace.groups.consumer_records import ConsumerGroupRecord, Partitions
from headrace.groups.requests import Answer, Token
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.topics_image import NO_TOPICS, TopicPartition, TopicsImage
from headrace.wire.errors import ErrorCode

__all__ = ["ConsumerGroup"]


class ConsumerGroup:
    """An empty group at first; `restore` makes one from what was saved."""

    def __init__(self, group_id: str, settings: GroupSettings, generation: int = 0) -> None:
        """`generation` is that of the classic group it was before, so that no number returns."""
        self.group_id = group_id
        self.settings = settings
        self.generation = generation
        """The group epoch; the target assignment is always of this epoch."""
        self.assignor = DEFAULT_ASSIGNOR
        self.members: dict[str, ConsumerMember] = {}
        self.static_ids: dict[str, str] = {}
        """Instance id -> member id."""
        self.owners: dict[TopicPartition, str] = {}
        """Who has, or may still have, each partition."""
        self.topics: TopicsImage = NO_TOPICS
        self.outsiders_out_until_ms: int | None = None
        """Set while members that were fenced may take themselves for outsiders: nobody but
        members may commit."""
        self.is_deleted = False
        self.next_deadline_ms: int | None = None
        """No deadline of the group is earlier."""
        self.rebalances = 0
        self.rebalance_reason = ""
        self._changes: list[Change] = []
        self._replies: list[Reply] = []
        self._unsaved = False

    @classmethod
    def restore(
        cls, record: ConsumerGroupRecord, settings: GroupSettings, now_ms: int
    ) -> "ConsumerGroup":
        """As it was, with all sessions and revocations started afresh."""
        group = cls(record.group_id, settings, record.generation)
        group.assignor = record.assignor
        for saved in record.members:
            member = ConsumerMember(saved)
            group.add(member)
            group.heard_of(member, now_ms)
            for partition in member.assigned | member.revoking:
                group.owners[partition] = member.member_id
            if member.revoking:
                group.await_revocation(member, now_ms)
        return group

    @property
    def state(self) -> State:
        if self.is_deleted:
            return State.DEAD
        if not self.members:
            return State.EMPTY
        settled = all(self._is_settled(member) for member in self.members.values())
        return State.STABLE if settled else State.RECONCILING

    def _is_settled(self, member: ConsumerMember) -> bool:
        if member.is_away:
            return True
        return member.epoch == self.generation and member.assigned == member.target

    # Effects

    def tell(self, token: Token, answer: Answer) -> None:
        self._replies.append(Reply(token, answer))

    def change(self, change: Change) -> None:
        self._changes.append(change)

    def mark_unsaved(self) -> None:
        """What must survive a restart has changed: the step saves the group."""
        self._unsaved = True

    def take_effects(self) -> tuple[tuple[Change, ...], tuple[Reply, ...]]:
        """What happened since the last call."""
        if self._unsaved and not self.is_deleted:
            self._changes.append(GroupSaved(self.record()))
        effects = tuple(self._changes), tuple(self._replies)
        self._changes.clear()
        self._replies.clear()
        self._unsaved = False
        return effects

    def record(self) -> ConsumerGroupRecord:
        return ConsumerGroupRecord(
            self.group_id,
            self.state,
            self.generation,
            self.assignor,
            tuple(member.record() for member in self.members.values()),
        )

    # Time

    def in_time(self, deadline_ms: int) -> int:
        """Note a deadline so that the group is ticked by then."""
        if self.next_deadline_ms is None or deadline_ms < self.next_deadline_ms:
            self.next_deadline_ms = deadline_ms
        return deadline_ms

    def heard_of(self, member: ConsumerMember, now_ms: int) -> None:
        """Start its session anew."""
        member.deadline_ms = self.in_time(now_ms + self.settings.consumer_session_timeout_ms)

    def await_revocation(self, member: ConsumerMember, now_ms: int) -> None:
        member.revoke_deadline_ms = self.in_time(now_ms + member.rebalance_timeout_ms)

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

    def add(self, member: ConsumerMember) -> None:
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_ids[member.instance_id] = member.member_id

    def remove(self, member: ConsumerMember) -> None:
        """Take a member out, and with it all that it had."""
        self.release(member, member.assigned | member.revoking)
        del self.members[member.member_id]
        if member.instance_id is not None:
            del self.static_ids[member.instance_id]
        self.mark_unsaved()

    # Who has what

    def give(self, member: ConsumerMember, partitions: Partitions) -> None:
        for partition in partitions:
            self.owners[partition] = member.member_id
        member.assigned |= partitions
        self.mark_unsaved()

    def release(self, member: ConsumerMember, partitions: Partitions) -> None:
        """The member does not have them any more; anybody may."""
        for partition in partitions:
            del self.owners[partition]
        member.assigned -= partitions
        member.revoking -= partitions
        if not member.revoking:
            member.revoke_deadline_ms = None
        self.mark_unsaved()

    def release_all(self, member: ConsumerMember) -> None:
        self.release(member, member.assigned | member.revoking)
        member.reported = NOTHING
