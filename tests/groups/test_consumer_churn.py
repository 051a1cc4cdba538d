"""Any order of joins, leaves, crashes, slow revocations, lost answers, changes of topics and
coordinator restarts keeps the promises of next-generation groups.

Scripted clients hold what they were told to hold until they have revoked it, which they do when
they get to it. What the group changes goes to a disk that a crash of the coordinator may cut off at
any point; answers leave only after their changes.

- a partition is held by at most one member, and never by one that the group does not know as holder
- no epoch goes back, the group's or a member's
- a committed offset never goes back: who no longer holds a partition cannot commit for it
- once the churn ends, everyone who lives has its part and every partition is read
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from headrace.groups import consumer
from headrace.groups.changes import GroupSaved, OffsetsCommitted, Step
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_records import ConsumerGroupRecord
from headrace.groups.consumer_requests import (
    JOIN,
    LEAVE,
    LEAVE_FOR_A_WHILE,
    ConsumerHeartbeat,
    Weigh,
)
from headrace.groups.requests import Commit, OffsetToCommit, Request
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicPartition, TopicsImage
from headrace.wire.errors import ErrorCode

SETTINGS = GroupSettings(consumer_session_timeout_ms=10_000)
REBALANCE_MS = 15_000
NAMES = frozenset({"a", "b"})

REJOIN = {ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID}


@dataclass(eq=False)
class Client:
    member_id: str
    instance: str | None
    assignor: str
    pattern: str
    epoch: int = JOIN
    holds: frozenset[TopicPartition] = frozenset()
    told: frozenset[TopicPartition] = frozenset()
    reported: frozenset[TopicPartition] | None = None
    """None: the next heartbeat says everything."""
    waits_for: int | None = None
    is_alive: bool = True
    read: dict[TopicPartition, int] = field(default_factory=dict)

    def heartbeat(self) -> ConsumerHeartbeat:
        full = self.epoch == JOIN or self.reported is None
        owned = self.holds if full or self.holds != self.reported else None
        self.reported = self.holds
        return ConsumerHeartbeat(
            member_id=self.member_id,
            member_epoch=self.epoch,
            instance_id=self.instance,
            rebalance_timeout_ms=REBALANCE_MS if full else -1,
            names=(frozenset() if self.pattern else NAMES) if full else None,
            pattern=self.pattern if full else None,
            assignor=self.assignor if full else None,
            owned=owned,
        )

    def give_up_everything(self) -> None:
        self.holds = self.told = frozenset()
        self.epoch, self.reported = JOIN, None

    def revoke(self) -> None:
        """Finish what the last answer asked for."""
        self.holds &= self.told


class Churn(RuleBasedStateMachine):
    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.group = ConsumerGroup("g", SETTINGS)
        self.deadline_ms: int | None = None
        self.unwritten: deque[Step] = deque()
        self.saved: ConsumerGroupRecord | None = None
        self.everyone: list[Client] = []
        self.asked: dict[int, Client] = {}
        self.tokens = 0
        self.ids = 0
        self.generation = 0
        self.committed: dict[TopicPartition, int] = {}
        self.topics = {"a": TopicFacts(UUID(int=1), "a", 3)}
        self.image = TopicsImage(self.topics.values())

    # The coordinator

    def send(self, client: Client, request: Request) -> int:
        self.tokens += 1
        self.asked[self.tokens] = client
        if isinstance(request, ConsumerHeartbeat):
            request = replace(request, topics=self.image)
        request = replace(request, token=self.tokens)
        self.take_step(consumer.step(self.group, request, self.now_ms))
        return self.tokens

    def take_step(self, step: Step) -> None:
        self.deadline_ms = step.next_deadline_ms
        self.unwritten.append(step)

    def write(self) -> None:
        step = self.unwritten.popleft()
        for change in step.changes:
            if isinstance(change, GroupSaved):
                assert isinstance(change.record, ConsumerGroupRecord)
                assert change.record.generation >= self.generation, "the group epoch went back"
                self.saved, self.generation = change.record, change.record.generation
            elif isinstance(change, OffsetsCommitted):
                for _, partition, offset, _, topic in change.offsets:
                    pair = UUID(topic), partition
                    assert offset > self.committed.get(pair, 0), "a committed offset went back"
                    self.committed[pair] = offset
        for token, answer in step.replies:
            client = self.asked.pop(token, None)
            if client is not None and client.waits_for == token:
                client.waits_for = None
                self.deliver(client, answer)

    def deliver(self, client: Client, answer: Any) -> None:
        if not client.is_alive:
            return
        if answer.error in REJOIN:
            client.give_up_everything()
        elif answer.error in (ErrorCode.FENCED_INSTANCE_ID, ErrorCode.UNRELEASED_INSTANCE_ID):
            client.is_alive = False
        else:
            assert answer.error is ErrorCode.NONE, answer
            assert client.epoch <= answer.member_epoch <= self.generation, "an epoch went back"
            client.epoch = answer.member_epoch
            if answer.assignment is not None:
                client.told = answer.assignment
                for partition in client.told - client.holds:
                    client.read[partition] = self.committed.get(partition, 0)
                client.holds |= client.told

    # The world

    @rule(
        target=clients,
        instance=st.sampled_from([None, None, "one", "two"]),
        assignor=st.sampled_from(["uniform", "range", "balanced"]),
        pattern=st.sampled_from(["", "", "a|c.*"]),
    )
    def start(self, instance: str | None, assignor: str, pattern: str) -> Client:
        self.ids += 1
        client = Client(f"m{self.ids}", instance, assignor, pattern)
        self.everyone.append(client)
        return client

    @rule(client=clients, revokes=st.booleans())
    def beat(self, client: Client, revokes: bool = True) -> None:
        if revokes:
            client.revoke()
        if client.is_alive and client.waits_for is None:
            client.waits_for = self.send(client, client.heartbeat())

    @rule(client=clients, revokes=st.booleans())
    def beat_and_hear(self, client: Client, revokes: bool) -> None:
        self.beat(client, revokes)
        while self.unwritten:
            self.write()

    @rule(revokes=st.booleans())
    def all_beat_and_hear(self, revokes: bool) -> None:
        for client in self.everyone:
            self.beat_and_hear(client, revokes)

    @rule(target=clients)
    def start_another(self) -> Client:
        client = self.start(None, "uniform", "")
        self.beat_and_hear(client, True)
        return client

    @rule(client=clients)
    def lose_the_answer(self, client: Client) -> None:
        if client.waits_for is not None:
            client.waits_for = client.reported = None

    @rule(client=clients)
    def commit(self, client: Client) -> None:
        """Read one record of each partition held, and commit."""
        for partition in client.holds if client.is_alive else ():
            client.read[partition] += 1
        names = {topic.id: topic.name for topic in self.topics.values()}
        offsets = tuple(
            OffsetToCommit(
                names.get(topic, "gone"), index, client.read[topic, index], -1, topic.hex
            )
            for topic, index in client.holds
        )
        if client.is_alive and offsets:
            self.send(client, Commit(offsets, client.member_id, client.epoch))

    @rule(client=clients, pattern=st.sampled_from(["", "a|c.*", "b+"]))
    def resubscribe(self, client: Client, pattern: str) -> None:
        client.pattern = pattern
        client.reported = None

    @rule(client=consumes(clients), epoch=st.sampled_from([LEAVE, LEAVE_FOR_A_WHILE, None]))
    def stop(self, client: Client, epoch: int | None) -> None:
        """Leave, for a while if it can, or die without a word."""
        if client.is_alive and client.epoch != JOIN and epoch is not None:
            epoch = LEAVE if client.instance is None else epoch
            request = ConsumerHeartbeat(client.member_id, epoch, client.instance)
            self.send(client, request)
        client.is_alive = False

    @rule(duration_ms=st.sampled_from([1, 1_000, 4_000, 11_000, 16_000]))
    def wait(self, duration_ms: int) -> None:
        end_ms = self.now_ms + duration_ms
        while self.deadline_ms is not None and self.deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, self.deadline_ms)
            self.take_step(consumer.tick(self.group, self.now_ms))
            assert self.deadline_ms is None or self.deadline_ms > self.now_ms, "a tick left work"
        self.now_ms = end_ms

    @rule(name=st.sampled_from("abc"), partitions=st.integers(0, 6))
    def change_topics(self, name: str, partitions: int) -> None:
        known = self.topics.get(name)
        if not partitions:
            self.topics.pop(name, None)
        elif known is None:
            self.topics[name] = TopicFacts(UUID(int=100 + self.tokens), name, partitions)
            self.tokens += 1
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
        self.take_step(consumer.step(self.group, Weigh(weights, may_move=True), self.now_ms))

    @rule(steps=st.integers(1, 10))
    def disk_goes_on(self, steps: int) -> None:
        for _ in range(min(steps, len(self.unwritten))):
            self.write()

    @rule()
    def crash(self) -> None:
        """The coordinator dies; what was not written is gone, and so is every connection."""
        self.unwritten.clear()
        if self.saved is None:
            self.group = ConsumerGroup("g", SETTINGS)
        else:
            self.group = ConsumerGroup.restore(self.saved, SETTINGS, self.now_ms)
        self.deadline_ms = self.group.next_deadline_ms
        for client in self.asked.values():
            if client.waits_for is not None:
                client.waits_for = client.reported = None
        self.asked.clear()

    @invariant()
    def each_partition_has_one_holder(self) -> None:
        holders: dict[TopicPartition, Client] = {}
        for client in self.everyone:
            member = self.group.members.get(client.member_id)
            if client.is_alive and member is not None:
                assert client.holds <= member.assigned | member.revoking
                for partition in client.holds:
                    assert partition not in holders, "a partition has two holders"
                    holders[partition] = client

    @invariant()
    def owners_are_as_members_say(self) -> None:
        owners = {
            partition: member.member_id
            for member in self.group.members.values()
            for partition in member.assigned | member.revoking
        }
        assert owners == self.group.owners

    def teardown(self) -> None:
        """The churn ends: everyone acts in time and all must come to rest."""
        for _ in range(60):
            for client in self.everyone:
                self.beat(client)
                while self.unwritten:
                    self.write()
            if self.is_at_rest():
                break
            self.wait(1_000)
            while self.unwritten:
                self.write()
        living = [client for client in self.everyone if client.is_alive]
        assert self.is_at_rest(), (self.group.state, living)
        held = [partition for client in living for partition in client.holds]
        wanted = {
            name
            for client in living
            for name in ({"": ("a", "b"), "b+": ("b",), "a|c.*": ("a", "c")}[client.pattern])
        }
        assert sorted(held) == sorted(
            (topic.id, index)
            for topic in self.topics.values()
            if topic.name in wanted
            for index in range(topic.partitions)
        )

    def is_at_rest(self) -> bool:
        living = [client for client in self.everyone if client.is_alive]
        members = self.group.members
        return (
            len(members) == len(living)
            and self.group.state is (State.STABLE if living else State.EMPTY)
            and all(client.holds == members[client.member_id].target for client in living)
        )


TestChurn = Churn.TestCase
TestChurn.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
