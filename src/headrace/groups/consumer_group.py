"""The state of one next-generation group (KIP-848), and the few ways to change it.

Whoever was told to have a partition owns it until it says that it gave it up, leaves or is given
up: `owners` knows, and only a partition without an owner is assigned. So no two members ever read
one partition, and those whose partitions stay are not disturbed.

What must not enter: when to rebalance and who may speak (`consumer_heartbeat`, and for members of
the classic protocol `classic_in_consumer`), who gets what (`consumer_target`), how it gets there
(`consumer_reconcile`).
"""

from collections import Counter
from collections.abc import Iterable

from headrace.groups.balanced import as_if_fair
from headrace.groups.consumer_member import NOTHING, ConsumerMember
from headrace.groups.consumer_records import ClassicPart, ConsumerGroupRecord, Partitions
from headrace.groups.coordinated import Coordinated
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.subscribers import Weights
from headrace.groups.topics_image import NO_TOPICS, TopicPartition, TopicsImage

__all__ = ["ConsumerGroup"]


class ConsumerGroup(Coordinated[ConsumerMember]):
    """An empty group at first; `restore` makes one from what was saved."""

    def __init__(self, group_id: str, settings: GroupSettings, generation: int = 0) -> None:
        """`generation` is the group epoch, which is always that of the target assignment too; the
        first is that of the classic group it was before, so that no number returns."""
        super().__init__(group_id, settings, generation)
        self.assignor = settings.consumer_assignors[0]
        self.owners: dict[TopicPartition, str] = {}
        """Who has, or may still have, each partition."""
        self.topics: TopicsImage = NO_TOPICS
        self.weights: Weights | None = None
        """What the partitions were last known to carry, if anybody looked; for `balanced`."""
        self.judged_by: Weights | None = None
        """The weights by which the target was made, or was found to be worth keeping."""
        self.is_deleted = False
        self.classic_members = 0
        """How many speak the classic protocol."""
        self._protocol_counts: Counter[str] = Counter()

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
                group.demand(member, now_ms)
        group.weights = as_if_fair([member.target for member in group.members.values()])
        return group

    @property
    def is_dead(self) -> bool:
        return self.is_deleted

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

    def record(self) -> ConsumerGroupRecord:
        return ConsumerGroupRecord(
            self.group_id,
            self.state,
            self.generation,
            self.assignor,
            tuple(member.record() for member in self.members.values()),
        )

    # Time

    def heard_of(self, member: ConsumerMember, now_ms: int) -> None:
        """Start its session anew."""
        member.deadline_ms = self.in_time(now_ms + self.session_timeout_ms(member))

    def session_timeout_ms(self, member: ConsumerMember) -> int:
        if member.classic is not None:
            return member.classic.session_timeout_ms
        return self.settings.consumer_session_timeout_ms

    def demand(self, member: ConsumerMember, now_ms: int) -> None:
        """Give it its rebalance timeout to do what it was told."""
        member.act_by_ms = self.in_time(now_ms + member.rebalance_timeout_ms)

    # Who is in it

    def add(self, member: ConsumerMember) -> None:
        self._put(member)
        self._count_protocols(member.classic, 1)

    def set_classic(self, member: ConsumerMember, classic: ClassicPart | None) -> None:
        """From now on it speaks this protocol, or says this of itself in it."""
        self._count_protocols(member.classic, -1)
        self._count_protocols(classic, 1)
        member.classic = classic

    def _count_protocols(self, classic: ClassicPart | None, sign: int) -> None:
        if classic is not None:
            self.classic_members += sign
            for name in {name for name, _ in classic.protocols}:
                self._protocol_counts[name] += sign

    def has_common_protocol(self, member_id: str, protocols: Iterable[tuple[str, bytes]]) -> bool:
        """Whether all members of the classic protocol, with this one as it comes now, have one in
        common: the group may be theirs alone one day."""
        member = self.members.get(member_id)
        before = member.classic if member is not None else None
        old = {name for name, _ in before.protocols} if before is not None else set()
        others = self.classic_members - (before is not None)
        return any(self._protocol_counts[name] - (name in old) == others for name, _ in protocols)

    def remove(self, member: ConsumerMember) -> None:
        """Take a member out, and with it all that it had."""
        self.release(member, member.assigned | member.revoking)
        self._take_out(member.member_id)
        self._count_protocols(member.classic, -1)
        self.mark_unsaved()

    # Who has what

    def give(self, member: ConsumerMember, partitions: Partitions) -> None:
        for partition in partitions:
            self.owners[partition] = member.member_id
            member.since[partition] = self.generation
        member.assigned |= partitions
        self.mark_unsaved()

    def release(self, member: ConsumerMember, partitions: Partitions) -> None:
        """The member does not have them any more; anybody may."""
        for partition in partitions:
            del self.owners[partition]
            member.since.pop(partition, None)
        member.assigned -= partitions
        member.revoking -= partitions
        if not member.revoking:
            member.act_by_ms = None
        self.mark_unsaved()

    def release_all(self, member: ConsumerMember) -> None:
        self.release(member, member.assigned | member.revoking)
        member.reported = NOTHING
