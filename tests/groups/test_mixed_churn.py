"""Members of both protocols in one group: any order of joins, leaves, crashes, slow revocations,
lost answers and coordinator restarts keeps the promises, whatever the group becomes meanwhile.

- a partition is held by at most one member; a next-generation group knows of all that is held
- a committed offset never goes back: who no longer holds a partition cannot commit for it
- once the churn ends, everyone who lives has its part, every partition is read, and the group is of
  the next generation if any of its members is
"""

from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from headrace.groups.changes import OffsetsCommitted
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.group import Group
from headrace.groups.requests import Join, Request
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicPartition, TopicsImage
from headrace.testing.scripted_coordinator import ScriptedCoordinator
from headrace.testing.scripted_members import ClassicMember, NextMember

TOPICS = TopicsImage([TopicFacts(UUID(int=1), "a", 3), TopicFacts(UUID(int=2), "b", 2)])
SETTINGS = GroupSettings(consumer_session_timeout_ms=10_000, new_member_join_timeout_ms=60_000)

Member = ClassicMember | NextMember


class Churn(RuleBasedStateMachine):
    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.coordinator = ScriptedCoordinator(SETTINGS)
        self.everyone: list[Member] = []
        self.asked: dict[int, Member] = {}
        self.ids = 0
        self.committed: dict[TopicPartition, int] = {}
        self.is_cooperative = True

    @property
    def group(self) -> Any:
        return self.coordinator.group

    def send(self, member: Member, request: Request) -> int:
        if isinstance(request, Join):
            self.ids += 1
            object.__setattr__(request, "fresh_member_id", f"c{self.ids}")
        token = self.coordinator.ask(request)
        self.asked[token] = member
        return token

    def write(self) -> None:
        step = self.coordinator.write()
        for change in step.changes:
            if isinstance(change, OffsetsCommitted):
                for topic, partition, offset, _, _ in change.offsets:
                    pair = UUID(topic), partition
                    assert offset > self.committed.get(pair, 0), "a committed offset went back"
                    self.committed[pair] = offset
        for token, answer in step.replies:
            member = self.asked.pop(token, None)
            if member is not None and member.waits_for == token and member.is_alive:
                member.waits_for = None
                member.take(answer, TOPICS)
                member.begin(self.committed)

    def write_all(self) -> None:
        while self.coordinator.unwritten:
            self.write()

    @initialize(is_cooperative=st.booleans())
    def choose(self, is_cooperative: bool) -> None:
        self.is_cooperative = is_cooperative

    @rule(
        target=members,
        is_classic=st.booleans(),
        instance=st.sampled_from([None, None, None, "one", "two"]),
    )
    def start(self, is_classic: bool, instance: str | None) -> Member:
        self.ids += 1
        member: Member = (
            ClassicMember(instance, is_cooperative=self.is_cooperative)
            if is_classic
            else NextMember(instance, f"n{self.ids}")
        )
        self.everyone.append(member)
        return member

    @rule(target=members, is_classic=st.booleans())
    def crowd(self, is_classic: bool) -> Any:
        """Some at once, and they get somewhere."""
        crowd = [self.start(is_classic, None) for _ in range(2)]
        for _ in range(3):
            for member in crowd:
                self.act_and_hear(member, True)
            self.wait(200)
        return multiple(*crowd)

    @rule(member=members, revokes=st.booleans())
    def act(self, member: Member, revokes: bool) -> None:
        if revokes:
            member.revoke()
            member.begin(self.committed)
        if member.is_alive and member.waits_for is None:
            member.waits_for = self.send(member, member.next_request(TOPICS))
            member.begin(self.committed)

    @rule(member=members, revokes=st.booleans())
    def act_and_hear(self, member: Member, revokes: bool) -> None:
        self.act(member, revokes)
        self.write_all()

    @rule(revokes=st.booleans())
    def all_act_and_hear(self, revokes: bool) -> None:
        for member in self.everyone:
            self.act_and_hear(member, revokes)

    @rule(member=members)
    def lose_the_answer(self, member: Member) -> None:
        if member.waits_for is not None:
            member.lose_the_answer()

    @rule(member=members)
    def commit(self, member: Member) -> None:
        if member.is_alive and member.holds:
            self.send(member, member.commit())

    @rule(member=consumes(members), leaves=st.booleans(), for_a_while=st.booleans())
    def stop(self, member: Member, leaves: bool, for_a_while: bool) -> None:
        request = member.leave(for_a_while=for_a_while) if leaves and member.is_alive else None
        if request is not None:
            self.send(member, request)
        member.is_alive = False

    @rule(member=consumes(members), target=members)
    def change_over(self, member: Member) -> Any:
        """A process comes back with the other protocol, as in a rolling change."""
        if not member.is_alive:
            return multiple()
        self.stop(member, True, True)
        self.write_all()
        successor = self.start(not isinstance(member, ClassicMember), member.instance)
        self.act_and_hear(successor, True)
        return successor

    @rule(duration_ms=st.sampled_from([1, 200, 1_000, 4_000, 11_000, 16_000]))
    def wait(self, duration_ms: int) -> None:
        self.coordinator.wait(duration_ms)

    @rule(steps=st.integers(1, 10))
    def disk_goes_on(self, steps: int) -> None:
        for _ in range(min(steps, len(self.coordinator.unwritten))):
            self.write()

    @rule()
    def crash(self) -> None:
        """The coordinator dies; what was not written is gone, and so is every connection."""
        self.coordinator.crash()
        for token, member in self.asked.items():
            if member.waits_for == token:
                member.lose_the_answer()
        self.asked.clear()

    @invariant()
    def each_partition_has_one_holder(self) -> None:
        holders: dict[TopicPartition, Member] = {}
        for member in self.everyone:
            known = self.group.members.get(member.member_id)
            if not member.is_alive or known is None or self.was_passed_over(member):
                continue
            if isinstance(self.group, ConsumerGroup):
                assert member.holds <= known.assigned | known.revoking
            for partition in member.holds:
                assert partition not in holders, "a partition has two holders"
                holders[partition] = member

    def was_passed_over(self, member: Member) -> bool:
        """A classic generation began without it, which only static members outlive; it holds what
        it had until it is told that its generation is over."""
        if isinstance(member, NextMember) or member.instance is None:
            return False
        if isinstance(self.group, Group):
            return member.generation < int(self.group.generation_of(member.member_id))
        return member.generation < int(self.group.members[member.member_id].epoch)

    @invariant()
    def owners_are_as_members_say(self) -> None:
        if isinstance(self.group, ConsumerGroup):
            owners = {
                partition: member.member_id
                for member in self.group.members.values()
                for partition in member.assigned | member.revoking
            }
            assert owners == self.group.owners
            classics = [m for m in self.group.members.values() if m.classic is not None]
            assert len(classics) == self.group.classic_members

    def teardown(self) -> None:
        """The churn ends: everyone acts in time and all must come to rest."""
        for _ in range(150):
            for member in self.everyone:
                self.act_and_hear(member, True)
            if self.is_at_rest():
                break
            self.wait(500)
            self.write_all()
        living = [member for member in self.everyone if member.is_alive]
        assert self.is_at_rest(), (self.group.state, living)
        held = sorted(partition for member in living for partition in member.holds)
        everything = [(t.id, index) for t in TOPICS.by_id.values() for index in range(t.partitions)]
        assert held == (everything if living else [])
        if any(isinstance(member, NextMember) for member in living):
            assert isinstance(self.group, ConsumerGroup)
        elif living:
            assert isinstance(self.group, Group)

    def is_at_rest(self) -> bool:
        living = [member for member in self.everyone if member.is_alive]
        return (
            len(self.group.members) == len(living)
            and self.group.state is (State.STABLE if living else State.EMPTY)
            and all(
                member.is_settled
                and member.generation == self.generation_of(member)
                and member.holds == self.due(member)
                for member in living
            )
        )

    def due(self, member: Member) -> Any:
        """What it shall have, where the broker says so."""
        if isinstance(self.group, ConsumerGroup):
            return self.group.members[member.member_id].target
        return member.told

    def generation_of(self, member: Member) -> int:
        if isinstance(self.group, ConsumerGroup):
            return self.group.members[member.member_id].epoch
        return int(self.group.generation)


TestChurn = Churn.TestCase
TestChurn.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
