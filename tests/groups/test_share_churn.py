"""Any order of joins, leaves, crashes, lost answers, changes of topics and coordinator restarts
keeps the promises of share groups.

Scripted clients read what they were told to. What the group changes goes to a disk that a crash of
the coordinator may cut off at any point; answers leave only after their changes.

- while there are members, every partition of a topic they subscribe to is somebody's to read, and
  whoever subscribes to a topic that exists has something to read
- no epoch goes back, the group's or a member's
- nobody who lives and speaks is fenced
- once the churn ends, everyone reads what it shall
"""

from collections import deque
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from headrace.groups import share
from headrace.groups.changes import GroupSaved, Step
from headrace.groups.consumer_requests import JOIN, LEAVE
from headrace.groups.settings import GroupSettings
from headrace.groups.share_group import ShareGroup
from headrace.groups.share_records import ShareGroupRecord
from headrace.groups.share_requests import ShareHeartbeat
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicPartition, TopicsImage
from headrace.wire.errors import ErrorCode

SETTINGS = GroupSettings(share_session_timeout_ms=10_000)
BEATS_TO_REST_MAX = 5


@dataclass(eq=False)
class Client:
    member_id: str
    names: frozenset[str]
    epoch: int = JOIN
    told: frozenset[TopicPartition] = frozenset()
    says_all: bool = True
    waits_for: int | None = None
    is_alive: bool = True


class Churn(RuleBasedStateMachine):
    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.group = ShareGroup("g", SETTINGS)
        self.deadline_ms: int | None = None
        self.unwritten: deque[Step] = deque()
        self.saved: ShareGroupRecord | None = None
        self.everyone: list[Client] = []
        self.asked: dict[int, Client] = {}
        self.tokens = 0
        self.generation = 0
        self.topics = {"a": TopicFacts(UUID(int=1), "a", 3)}
        self.image = TopicsImage(self.topics.values())

    # The coordinator

    def send(self, client: Client, epoch: int) -> None:
        self.tokens += 1
        self.asked[self.tokens] = client
        names = client.names if client.says_all or epoch == JOIN else None
        request = ShareHeartbeat(
            client.member_id, epoch, names=names, topics=self.image, token=self.tokens
        )
        client.waits_for = self.tokens
        self.take_step(share.step(self.group, request, self.now_ms))

    def take_step(self, step: Step) -> None:
        self.deadline_ms = step.next_deadline_ms
        self.unwritten.append(step)

    def write(self) -> None:
        step = self.unwritten.popleft()
        for change in step.changes:
            assert isinstance(change, GroupSaved)
            assert isinstance(change.record, ShareGroupRecord)
            assert change.record.generation >= self.generation, "the group epoch went back"
            self.saved, self.generation = change.record, change.record.generation
        for token, answer in step.replies:
            client = self.asked.pop(token, None)
            if client is not None and client.waits_for == token:
                client.waits_for = None
                self.deliver(client, answer)

    def deliver(self, client: Client, answer: Any) -> None:
        if not client.is_alive:
            return
        if answer.error is ErrorCode.UNKNOWN_MEMBER_ID:
            client.epoch, client.told = JOIN, frozenset()
            return
        assert answer.error is ErrorCode.NONE, answer
        assert client.epoch <= answer.member_epoch <= self.generation, "an epoch went back"
        assert answer.assignment is not None or answer.member_epoch == client.epoch
        client.epoch, client.says_all = answer.member_epoch, False
        if answer.assignment is not None:
            client.told = answer.assignment

    # The world

    @rule(
        target=clients,
        names=st.frozensets(st.sampled_from("abc"), min_size=1),
        hears=st.booleans(),
    )
    def start(self, names: frozenset[str], hears: bool) -> Client:
        self.tokens += 1
        client = Client(f"m{self.tokens}", names)
        self.everyone.append(client)
        self.beat(client, hears)
        return client

    @rule(client=clients, hears=st.booleans())
    def beat(self, client: Client, hears: bool) -> None:
        if client.is_alive and client.waits_for is None:
            self.send(client, client.epoch)
        while hears and self.unwritten:
            self.write()

    @rule()
    def all_beat_and_hear(self) -> None:
        for client in self.everyone:
            self.beat(client, True)

    @rule(client=clients)
    def lose_the_answer(self, client: Client) -> None:
        client.waits_for = None

    @rule(client=clients, names=st.frozensets(st.sampled_from("abc"), min_size=1))
    def resubscribe(self, client: Client, names: frozenset[str]) -> None:
        client.names, client.says_all = names, True

    @rule(client=consumes(clients), leaves=st.booleans())
    def stop(self, client: Client, leaves: bool) -> None:
        """Leave, or die without a word."""
        if client.is_alive and client.epoch != JOIN and leaves:
            self.send(client, LEAVE)
        client.is_alive = False

    @rule(duration_ms=st.sampled_from([1, 1_000, 4_000, 11_000]))
    def wait(self, duration_ms: int) -> None:
        end_ms = self.now_ms + duration_ms
        while self.deadline_ms is not None and self.deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, self.deadline_ms)
            self.take_step(share.tick(self.group, self.now_ms))
            assert self.deadline_ms is None or self.deadline_ms > self.now_ms, "a tick left work"
        self.now_ms = end_ms

    @rule(name=st.sampled_from("abc"), partitions=st.integers(0, 6))
    def change_topics(self, name: str, partitions: int) -> None:
        known = self.topics.get(name)
        if not partitions:
            self.topics.pop(name, None)
        elif known is None:
            self.tokens += 1
            self.topics[name] = TopicFacts(UUID(int=100 + self.tokens), name, partitions)
        else:
            self.topics[name] = known._replace(partitions=max(partitions, known.partitions))
        self.image = TopicsImage(self.topics.values())

    @rule(steps=st.integers(1, 10))
    def disk_goes_on(self, steps: int) -> None:
        for _ in range(min(steps, len(self.unwritten))):
            self.write()

    @rule()
    def crash(self) -> None:
        """The coordinator dies; what was not written is gone, and so is every connection."""
        self.unwritten.clear()
        if self.saved is None:
            self.group = ShareGroup("g", SETTINGS)
        else:
            self.group = ShareGroup.restore(self.saved, SETTINGS, self.now_ms)
        self.deadline_ms = self.group.next_deadline_ms
        for client in self.asked.values():
            client.waits_for = None
        self.asked.clear()

    @invariant()
    def all_is_read_and_all_read(self) -> None:
        members = self.group.members.values()
        known = self.group.topics.by_name
        if not known:  # nobody has spoken since the coordinator came back
            return
        wanted = {name for member in members for name in member.names if name in known}
        assert {partition for member in members for partition in member.target} == {
            (known[name].id, index) for name in wanted for index in range(known[name].partitions)
        }
        for member in members:
            assert bool(member.target) == any(name in known for name in member.names)

    def teardown(self) -> None:
        """The churn ends: the dead are given up, the others speak and all must come to rest."""
        living = [client for client in self.everyone if client.is_alive]
        for _ in range(BEATS_TO_REST_MAX):
            for client in living:
                self.beat(client, True)
            self.wait(4_000)
        for client in living:
            self.beat(client, True)
        members = self.group.members
        assert members.keys() == {client.member_id for client in living}
        assert self.group.state is (State.STABLE if living else State.EMPTY)
        for client in living:
            assert client.told == members[client.member_id].target
            assert client.epoch == self.group.generation


TestChurn = Churn.TestCase
TestChurn.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
