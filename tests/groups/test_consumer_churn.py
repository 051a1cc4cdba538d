"""Any order of joins, leaves, crashes, slow revocations, lost answers, changes of topics and
coordinator restarts keeps the promises of groups whose partitions the broker assigns; and so it is
when members of the classic protocol are among them, whatever the group becomes meanwhile.

Scripted members hold what they were told to hold until they have revoked it, which they do when
they get to it. What the group changes goes to a disk that a crash of the coordinator may cut off at
any point; answers leave only after their changes.

- a partition is held by at most one member, and never by one that the group does not know as holder
- no epoch goes back, the group's or a member's
- a committed offset never goes back: who no longer holds a partition cannot commit for it
- once the churn ends, everyone who lives has its part and every partition is read; the group is of
  the next generation if any of its members is
"""

from dataclasses import replace
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

from headrace.groups.changes import GroupSaved, OffsetsCommitted
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_requests import Weigh
from headrace.groups.group import Group
from headrace.groups.requests import Join, Request
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicPartition, TopicsImage
from headrace.testing.scripted_coordinator import ScriptedCoordinator
from headrace.testing.scripted_members import ClassicMember, NextMember

SETTINGS = GroupSettings(consumer_session_timeout_ms=10_000, new_member_join_timeout_ms=60_000)

Member = ClassicMember | NextMember


class Churn(RuleBasedStateMachine):
    """What happens to members of any protocol; a machine says who comes."""

    members = Bundle("members")

    def __init__(self, *topics: TopicFacts) -> None:
        super().__init__()
        self.coordinator = ScriptedCoordinator(SETTINGS)
        self.topics = {topic.name: topic for topic in topics}
        self.image = TopicsImage(topics)
        self.everyone: list[Member] = []
        self.asked: dict[int, Member] = {}
        self.ids = 0
        self.generation = 0
        self.committed: dict[TopicPartition, int] = {}

    @property
    def group(self) -> Any:
        return self.coordinator.group

    def enter(self, member: Member) -> Member:
        self.everyone.append(member)
        return member

    def send(self, member: Member, request: Request) -> int:
        if isinstance(request, Join):
            self.ids += 1
            request = replace(request, fresh_member_id=f"c{self.ids}")
        token = self.coordinator.ask(request)
        self.asked[token] = member
        return token

    def write(self) -> None:
        step = self.coordinator.write()
        for change in step.changes:
            if isinstance(change, GroupSaved):
                generation = change.record.generation
                assert generation >= self.generation, "the group epoch went back"
                self.generation = generation
            elif isinstance(change, OffsetsCommitted):
                for _, partition, offset, _, topic in change.offsets:
                    pair = UUID(topic), partition
                    assert offset > self.committed.get(pair, 0), "a committed offset went back"
                    self.committed[pair] = offset
        for token, answer in step.replies:
            member = self.asked.pop(token, None)
            if member is not None and member.waits_for == token and member.is_alive:
                member.waits_for = None
                member.take(answer, self.image)
                member.begin(self.committed)
                assert member.generation <= self.generation, "an epoch that is not on the disk"

    def write_all(self) -> None:
        while self.coordinator.unwritten:
            self.write()

    @rule(member=members, revokes=st.booleans())
    def act(self, member: Member, revokes: bool) -> None:
        if revokes:
            member.revoke()
            member.begin(self.committed)
        if member.is_alive and member.waits_for is None:
            member.waits_for = self.send(member, member.next_request(self.image))
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
            self.send(member, member.commit(self.image))

    @rule(member=consumes(members), leaves=st.booleans(), for_a_while=st.booleans())
    def stop(self, member: Member, leaves: bool, for_a_while: bool) -> None:
        """Leave, for a while if it can, or die without a word."""
        request = member.leave(for_a_while=for_a_while) if leaves and member.is_alive else None
        if request is not None:
            self.send(member, request)
        member.is_alive = False

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
            return member.generation < self.group.generation_of(member.member_id)
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
        wanted = {name for member in living for name in wanted_by(member)}
        assert sorted(partition for member in living for partition in member.holds) == sorted(
            (topic.id, index)
            for topic in self.topics.values()
            if topic.name in wanted
            for index in range(topic.partitions)
        )
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
                member.is_settled and (member.generation, member.holds) == self.due(member)
                for member in living
            )
        )

    def due(self, member: Member) -> tuple[int, frozenset[TopicPartition]]:
        """Its epoch and what it shall have, as far as the broker says."""
        if isinstance(self.group, ConsumerGroup):
            known = self.group.members[member.member_id]
            return known.epoch, known.target
        return self.group.generation, member.told


def wanted_by(member: Member) -> tuple[str, ...]:
    pattern = member.pattern if isinstance(member, NextMember) else ""
    return {"": ("a", "b"), "b+": ("b",), "a|c.*": ("a", "c")}[pattern]


class NextChurn(Churn):
    """Next-generation members only, of every taste, while topics come, grow and go."""

    members = Churn.members

    def __init__(self) -> None:
        super().__init__(TopicFacts(UUID(int=1), "a", 3))

    @rule(
        target=members,
        instance=st.sampled_from([None, None, "one", "two"]),
        assignor=st.sampled_from(["uniform", "range", "balanced"]),
        pattern=st.sampled_from(["", "", "a|c.*"]),
    )
    def start(self, instance: str | None, assignor: str, pattern: str) -> Member:
        self.ids += 1
        return self.enter(NextMember(instance, f"m{self.ids}", assignor=assignor, pattern=pattern))

    @rule(target=members)
    def start_another(self) -> Member:
        member = self.start(None, "uniform", "")
        self.act_and_hear(member, True)
        return member

    @rule(member=members, pattern=st.sampled_from(["", "a|c.*", "b+"]))
    def resubscribe(self, member: NextMember, pattern: str) -> None:
        member.pattern = pattern
        member.reported = None

    @rule(name=st.sampled_from("abc"), partitions=st.integers(0, 6))
    def change_topics(self, name: str, partitions: int) -> None:
        known = self.topics.get(name)
        if not partitions:
            self.topics.pop(name, None)
        elif known is None:
            self.ids += 1
            self.topics[name] = TopicFacts(UUID(int=100 + self.ids), name, partitions)
        else:
            self.topics[name] = known._replace(partitions=max(partitions, known.partitions))
        self.image = TopicsImage(self.topics.values())

    @rule(kilobytes=st.lists(st.integers(0, 50), min_size=6, max_size=6))
    def look_at_loads(self, kilobytes: list[int]) -> None:
        weights = {
            (topic.id, index): 1000.0 * kilobytes[index]
            for topic in self.topics.values()
            for index in range(topic.partitions)
        }
        if isinstance(self.group, ConsumerGroup):
            self.coordinator.ask(Weigh(weights, may_move=True))


class MixedChurn(Churn):
    """Members of both protocols; the classic ones are eager, or all cooperative."""

    members = Churn.members

    def __init__(self) -> None:
        super().__init__(TopicFacts(UUID(int=1), "a", 3), TopicFacts(UUID(int=2), "b", 2))
        self.is_cooperative = True

    @initialize(is_cooperative=st.booleans())
    def choose(self, is_cooperative: bool) -> None:
        self.is_cooperative = is_cooperative

    @rule(
        target=members,
        is_classic=st.booleans(),
        instance=st.sampled_from([None, None, None, "one", "two"]),
    )
    def start(self, is_classic: bool, instance: str | None) -> Member:
        if is_classic:
            return self.enter(ClassicMember(instance, is_cooperative=self.is_cooperative))
        self.ids += 1
        return self.enter(NextMember(instance, f"n{self.ids}"))

    @rule(target=members, is_classic=st.booleans())
    def crowd(self, is_classic: bool) -> Any:
        """Some at once, and they get somewhere."""
        crowd = [self.start(is_classic, None) for _ in range(2)]
        for _ in range(3):
            for member in crowd:
                self.act_and_hear(member, True)
            self.wait(200)
        return multiple(*crowd)

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


TestChurn = NextChurn.TestCase
TestChurn.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)

TestMixedChurn = MixedChurn.TestCase
TestMixedChurn.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
