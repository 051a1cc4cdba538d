"""The state of one classic group, and the few ways to change it.

Every phase (`join`, `sync`, ...) goes through the methods here, so that three things hold always:
a parked request is answered once, who waits is counted, and what must last is marked unsaved.
What must not enter: when to rebalance (`rebalance`), what a request may do (the phases).
"""

from collections import Counter
from collections.abc import Iterable

from headrace.groups.causes import Cause
from headrace.groups.changes import GroupRecord
from headrace.groups.coordinated import Coordinated
from headrace.groups.member import Member
from headrace.groups.requests import JoinAnswer, JoinedMember, SyncAnswer, Token
from headrace.groups.settings import GroupSettings
from headrace.groups.states import Event, State, after
from headrace.wire.errors import ErrorCode

__all__ = ["Group"]


class Group(Coordinated[Member]):
    """An empty group at first; `restore` makes one from what was saved."""

    def __init__(self, group_id: str, settings: GroupSettings, generation: int = 0) -> None:
        """`generation` is the epoch of the next-generation group it was before."""
        super().__init__(group_id, settings, generation)
        self.state = State.EMPTY
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.leader: str | None = None
        self.pending: dict[str, int] = {}
        """Ids given out whose owners have not joined with them yet -> when they lapse."""

        self.awaiting_join: dict[str, Token] = {}
        self.awaiting_sync: dict[str, Token] = {}
        self.to_sync: set[str] = set()
        """Members of this generation that have not asked for their assignment yet."""

        self.epochs: dict[str, int] = {}
        """Of members that come from a next-generation group and have not joined again since: the
        generation in which they take themselves to be."""

        self.join_deadline_ms: int | None = None
        """When the join phase ends without those who are missing."""
        self.gathering_until_ms: int | None = None
        """Set while a group that was empty gathers its first members: the latest end of that."""
        self.gathered_more = False
        """Somebody came since the gathering was last prolonged."""
        self.sync_deadline_ms: int | None = None

        self.rebalance_cause = Cause.UNKNOWN
        self._protocol_counts: Counter[str] = Counter()

    @classmethod
    def restore(cls, record: GroupRecord, settings: GroupSettings, now_ms: int) -> "Group":
        """As it was, with all clocks started afresh and nobody waiting for an answer."""
        group = cls(record.group_id, settings)
        group.state = record.state
        group.generation = record.generation
        group.protocol_type = record.protocol_type
        group.protocol = record.protocol
        group.leader = record.leader
        for saved in record.members:
            member = Member(saved, is_new=False, deadline_ms=0)
            group._enter(member)
            group.heard_of(member, now_ms)
        if group.state is State.PREPARING:
            group.join_deadline_ms = group.in_time(now_ms + group.rebalance_timeout_ms())
        elif group.state is State.COMPLETING:
            group.to_sync = set(group.members)
            group.sync_deadline_ms = group.in_time(now_ms + group.rebalance_timeout_ms())
        return group

    @property
    def is_dead(self) -> bool:
        return self.state is State.DEAD

    def record(self) -> GroupRecord:
        """New members stay out until they belong to a generation: most do not know their id yet,
        so nobody could speak for them after a restart."""
        return GroupRecord(
            self.group_id,
            self.state,
            self.generation,
            self.protocol_type,
            self.protocol,
            self.leader,
            tuple(member.record() for member in self.members.values() if not member.is_new),
        )

    def move(self, event: Event) -> None:
        self.state = after(self.state, event)

    def supports(self, protocol_type: str, protocols: Iterable[tuple[str, bytes]]) -> bool:
        """Whether someone with these protocols can be in one group with the members there are."""
        names = {name for name, _ in protocols}
        if not self.members:
            return bool(protocol_type and names)
        everyone = len(self.members)
        return protocol_type == self.protocol_type and any(
            self._protocol_counts[name] == everyone for name in names
        )

    def elect_protocol(self) -> str:
        """Each member votes for the first of its protocols that all of them speak; a draw goes to
        what the leader likes best."""
        common = {
            name for name, count in self._protocol_counts.items() if count == len(self.members)
        }
        votes = Counter(
            next(name for name, _ in member.protocols if name in common)
            for member in self.members.values()
        )
        most = max(votes.values())
        ballot = self.members[self.leader].protocols if self.leader in self.members else ()
        for name, _ in ballot:
            if votes[name] == most:
                return name
        return min(name for name, count in votes.items() if count == most)

    def add(self, member: Member) -> None:
        self._enter(member)
        if self.leader is None:
            self.leader = member.member_id
        self.in_time(member.deadline_ms)

    def set_protocols(self, member: Member, protocols: tuple[tuple[str, bytes], ...]) -> None:
        self._protocol_counts.subtract({name for name, _ in member.protocols})
        member.protocols = protocols
        self._protocol_counts.update({name for name, _ in protocols})

    def remove(self, member_id: str) -> None:
        """Take a member out; if it waits for an answer, it learns that it is unknown now."""
        member = self._leave(member_id)
        self.answer_join(member_id, JoinAnswer(ErrorCode.UNKNOWN_MEMBER_ID))
        self.answer_sync(member_id, SyncAnswer(ErrorCode.UNKNOWN_MEMBER_ID))
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        if not member.is_new:
            self.mark_unsaved()

    def rename(self, member: Member, member_id: str) -> None:
        """Give a static member's place to its successor; who held it before is fenced."""
        old_id = member.member_id
        had_to_sync = old_id in self.to_sync
        self._leave(old_id)
        self.answer_join(old_id, JoinAnswer(ErrorCode.FENCED_INSTANCE_ID))
        self.answer_sync(old_id, SyncAnswer(ErrorCode.FENCED_INSTANCE_ID))
        if self.leader == old_id:
            self.leader = member_id
        member.member_id = member_id
        self._enter(member)
        if had_to_sync:
            self.to_sync.add(member_id)
        self.mark_unsaved()

    def _enter(self, member: Member) -> None:
        self._put(member)
        self._protocol_counts.update({name for name, _ in member.protocols})

    def _leave(self, member_id: str) -> Member:
        member = self._take_out(member_id)
        self._protocol_counts.subtract({name for name, _ in member.protocols})
        self.to_sync.discard(member_id)
        return member

    def generation_of(self, member_id: str) -> int:
        """What a member is to call the generation that it is in."""
        return self.epochs.get(member_id, self.generation)

    # Who waits

    def has_everyone(self) -> bool:
        """Every member waits for the next generation, and nobody is about to join."""
        return len(self.awaiting_join) == len(self.members) and not self.pending

    def rebalance_timeout_ms(self) -> int:
        """The patience of the most patient member."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def heard_of(self, member: Member, now_ms: int) -> None:
        """Start its session anew, unless it has none yet."""
        if not member.is_new:
            member.deadline_ms = self.in_time(now_ms + member.session_timeout_ms)

    def deadline_of(self, member: Member) -> int | None:
        """None while it waits for us: then its silence is our doing. A new one may be gone all the
        same (it cannot be told from one that retries), so it is not waited for without end."""
        waits = member.member_id in self.awaiting_join or member.member_id in self.awaiting_sync
        return None if waits and not member.is_new else member.deadline_ms

    def park_join(self, member: Member, token: Token) -> None:
        """Answer later. An earlier request of this member was given up by its client: end it."""
        self.answer_join(member.member_id, JoinAnswer(ErrorCode.REBALANCE_IN_PROGRESS))
        self.awaiting_join[member.member_id] = token

    def park_sync(self, member: Member, token: Token) -> None:
        self.answer_sync(member.member_id, SyncAnswer(ErrorCode.REBALANCE_IN_PROGRESS))
        self.awaiting_sync[member.member_id] = token

    def answer_join(self, member_id: str, answer: JoinAnswer) -> bool:
        """Whether it was waiting."""
        token = self.awaiting_join.pop(member_id, None)
        if token is not None:
            self.tell(token, answer)
        return token is not None

    def answer_sync(self, member_id: str, answer: SyncAnswer) -> bool:
        token = self.awaiting_sync.pop(member_id, None)
        if token is not None:
            self.tell(token, answer)
        return token is not None

    def joined(self, member: Member) -> JoinAnswer:
        """Its part in the current generation."""
        leads = member.member_id == self.leader
        return JoinAnswer(
            member_id=member.member_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=self.leader or "",
            members=self.roster() if leads else (),
        )

    def roster(self) -> tuple[JoinedMember, ...]:
        return tuple(
            JoinedMember(member.member_id, member.instance_id, member.metadata_for(self.protocol))
            for member in self.members.values()
        )

    def assigned(self, member: Member) -> SyncAnswer:
        return SyncAnswer(ErrorCode.NONE, self.protocol_type, self.protocol, member.assignment)
