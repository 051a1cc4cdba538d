"""Any order of joins, leaves, crashes, stalls and coordinator restarts keeps the promises.

Scripted clients, of the kinds that exist (dynamic, static, one that knows no required member id),
talk to one group on a virtual clock. What the group changes goes to a disk that a crash of the
coordinator may cut off at any point; answers leave only after their changes.

- a partition has at most one owner in a generation, whoever crashes
- no generation is announced twice, or goes back
- a committed offset never goes back, and is on the disk when it is acknowledged
- nobody commits who was fenced by an administrator's commit
- no request is answered twice; each is answered in the end
- once the churn ends, everyone who lives is in one generation and every partition has an owner
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from headrace.groups.changes import OffsetsCommitted
from headrace.groups.group import Group
from headrace.groups.requests import (
    Commit,
    CommitAnswer,
    Heartbeat,
    Join,
    JoinAnswer,
    Leave,
    Leaving,
    OffsetToCommit,
    Request,
    Sync,
    SyncAnswer,
)
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.testing.scripted_coordinator import ScriptedCoordinator
from headrace.wire.errors import ErrorCode

PARTITIONS = 5
SESSION_MS = 10_000
REBALANCE_MS = 30_000
SETTINGS = GroupSettings(new_member_join_timeout_ms=60_000)

REJOIN = {ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.ILLEGAL_GENERATION}


@dataclass(eq=False)
class Client:
    """What a Kafka consumer does with the answers it gets."""

    name: str
    instance: str | None
    requires_id: bool
    metadata: bytes = b"0"
    member_id: str = ""
    generation: int = -1
    owns: bytes | None = None
    """None: not in a generation."""
    waits_for: int | None = None
    answers: deque[Any] = field(default_factory=deque)
    is_alive: bool = True

    @property
    def identity(self) -> str:
        return self.instance or self.member_id

    def next_request(self) -> Request:
        if self.generation < 0:
            return Join(
                member_id=self.member_id,
                protocol_type="consumer",
                protocols=(("range", self.metadata),),
                session_timeout_ms=SESSION_MS,
                rebalance_timeout_ms=REBALANCE_MS,
                instance_id=self.instance,
                accepts_member_id=self.requires_id,
            )
        return Heartbeat(self.member_id, self.generation, self.instance)

    def rejoin(self) -> None:
        self.generation, self.owns = -1, None

    def take(self, answer: Any) -> Request | None:
        """React; the request that follows at once, if any."""
        if isinstance(answer, CommitAnswer):
            return None
        if answer.error is ErrorCode.FENCED_INSTANCE_ID:
            self.is_alive = False
        elif answer.error is ErrorCode.UNKNOWN_MEMBER_ID:
            self.member_id = ""
            self.rejoin()
        elif answer.error is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = answer.member_id
        elif answer.error in REJOIN:
            self.rejoin()
        elif isinstance(answer, JoinAnswer):
            return self._joined(answer)
        elif isinstance(answer, SyncAnswer):
            self.owns = answer.assignment
        return None

    def _joined(self, answer: JoinAnswer) -> Sync:
        self.member_id, self.generation = answer.member_id, answer.generation
        assignments: dict[str, bytes] = {}
        if answer.leader == answer.member_id and not answer.skip_assignment:
            for partition in range(PARTITIONS):
                owner = answer.members[partition % len(answer.members)].member_id
                assignments[owner] = assignments.get(owner, b"") + bytes([partition])
        return Sync(self.member_id, self.generation, tuple(assignments.items()), self.instance)


class Churn(RuleBasedStateMachine):
    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.coordinator = ScriptedCoordinator(SETTINGS)
        self.offset = 0
        self.everyone: list[Client] = []
        self.asked: dict[int, Client | None] = {}
        """Unanswered tokens; None: who asked has hung up."""
        self.commits: dict[int, int] = {}
        self.ids = 0
        self.acknowledged = 0
        self.last_commit = 0
        self.announced = 0
        self.owners: dict[tuple[int, int], str] = {}
        self.fenced = -1
        """The last generation that an administrator fenced."""
        self.stale: set[int] = set()
        """Commits of members of such a generation."""

    # The coordinator

    @property
    def group(self) -> Group:
        group = self.coordinator.group
        assert isinstance(group, Group)
        return group

    def send(self, client: Client | None, request: Request) -> int:
        if isinstance(request, Join):
            self.ids += 1
            request = replace(request, fresh_member_id=f"m{self.ids}")
        token = self.coordinator.ask(request)
        self.asked[token] = client
        return token

    def write(self) -> None:
        step = self.coordinator.write()
        for change in step.changes:
            if isinstance(change, OffsetsCommitted):
                offset = change.offsets[0].offset
                assert offset > self.offset, "a committed offset went back"
                self.offset = offset
        for token, answer in step.replies:
            assert token in self.asked, "a request was answered twice, or before a crash"
            self.deliver(token, answer)

    def deliver(self, token: int, answer: Any) -> None:
        client = self.asked.pop(token)
        if isinstance(answer, CommitAnswer) and answer.error is ErrorCode.NONE:
            assert self.commits[token] <= self.offset, "acknowledged before it was written"
            assert token not in self.stale, "a fenced member committed"
            self.acknowledged = max(self.acknowledged, self.commits[token])
        if client is None:
            return
        if isinstance(answer, JoinAnswer) and answer.error is ErrorCode.NONE:
            assert answer.generation >= client.generation
            self.announced = max(self.announced, answer.generation)
        if isinstance(answer, SyncAnswer) and answer.error is ErrorCode.NONE:
            for partition in answer.assignment:
                key = (client.generation, partition)
                assert self.owners.setdefault(key, client.identity) == client.identity
        if client.waits_for == token or isinstance(answer, CommitAnswer):
            client.answers.append(answer)

    # The world

    @rule(
        target=clients,
        instance=st.sampled_from([None, None, "one", "two"]),
        requires_id=st.booleans(),
    )
    def start(self, instance: str | None, requires_id: bool) -> Client:
        client = Client(f"c{len(self.everyone)}", instance, requires_id)
        self.everyone.append(client)
        return client

    @rule(client=clients, times=st.integers(1, 4))
    def act(self, client: Client, times: int) -> None:
        """Handle what arrived and send what is due."""
        for _ in range(times):
            if not client.is_alive:
                return
            if client.answers:
                client.waits_for = None
                follows = client.take(client.answers.popleft())
                if follows is not None:
                    client.waits_for = self.send(client, follows)
            elif client.waits_for is None:
                client.waits_for = self.send(client, client.next_request())

    @rule(client=clients)
    def commit(self, client: Client) -> None:
        if client.is_alive and client.owns is not None:
            self.last_commit += 1
            offset = OffsetToCommit("t", 0, self.last_commit, -1, "")
            request = Commit((offset,), client.member_id, client.generation, client.instance)
            token = self.send(client, request)
            self.commits[token] = self.last_commit
            if client.generation <= self.fenced:
                self.stale.add(token)

    @rule()
    def reset(self) -> None:
        """An administrator says where to go on, whoever is in the group."""
        if self.group.members:
            self.fenced = self.group.generation
            self.last_commit += 1
            offset = OffsetToCommit("t", 0, self.last_commit, -1, "")
            token = self.send(None, Commit((offset,), fences_members=True))
            self.commits[token] = self.last_commit
            assert not self.group.members

    @rule(client=clients, metadata=st.binary(min_size=1, max_size=1))
    def resubscribe(self, client: Client, metadata: bytes) -> None:
        client.metadata = metadata
        if client.waits_for is None and not client.answers:
            client.rejoin()

    @rule(client=clients)
    def hang_up(self, client: Client) -> None:
        """The connection breaks; the client asks again on another."""
        if client.waits_for is not None:
            if client.waits_for in self.asked:
                self.asked[client.waits_for] = None
            client.waits_for = None
            client.answers.clear()
            client.rejoin()

    @rule(client=consumes(clients), leaves=st.booleans())
    def stop(self, client: Client, leaves: bool) -> None:
        if leaves and client.is_alive and client.member_id:
            self.send(None, Leave((Leaving(client.member_id, client.instance),)))
        self.bury(client)

    def bury(self, client: Client) -> None:
        client.is_alive = False
        for token, asking in self.asked.items():
            if asking is client:
                self.asked[token] = None

    @rule(duration_ms=st.sampled_from([1, 50, 100, 1_000, 4_000, 11_000, 31_000]))
    def wait(self, duration_ms: int) -> None:
        self.coordinator.wait(duration_ms)

    @precondition(lambda self: self.coordinator.unwritten)
    @rule(steps=st.integers(1, 10))
    def disk_goes_on(self, steps: int) -> None:
        for _ in range(min(steps, len(self.coordinator.unwritten))):
            self.write()

    @rule()
    def crash(self) -> None:
        """The coordinator dies; what was not written is gone, and so is every connection."""
        self.coordinator.crash()
        self.fenced = -1  # or it was never written
        self.stale.clear()
        self.asked.clear()
        for client in self.everyone:
            if client.waits_for is not None and not client.answers:
                client.waits_for = None

    @rule(target=clients)
    def crowd(self) -> Any:
        """Several at once, as a deployment starts them."""
        crowd = [self.start(instance=None, requires_id=True) for _ in range(3)]
        for client in crowd:
            self.act(client, 2)
        return multiple(*crowd)

    @invariant()
    def who_waits_is_known(self) -> None:
        parked = {*self.group.awaiting_join.values(), *self.group.awaiting_sync.values()}
        answered = {reply.token for step in self.coordinator.unwritten for reply in step.replies}
        assert parked.isdisjoint(answered)
        assert parked | answered == set(self.asked)

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        assert self.offset >= self.acknowledged
        saved = self.coordinator.saved
        durable = saved.generation if saved is not None else 0
        assert durable >= self.announced

    def teardown(self) -> None:
        """The churn ends: everyone acts in time and all must come to rest."""
        for _ in range(400):
            for client in self.everyone:
                self.act(client, 3)
                while self.coordinator.unwritten:
                    self.write()
            if self.is_at_rest():
                break
            self.wait(1_000)
            while self.coordinator.unwritten:
                self.write()
        living = [client for client in self.everyone if client.is_alive]
        assert self.is_at_rest(), (self.group.state, living)
        assert not self.asked, "a request was never answered"
        if living:
            owned = b"".join(client.owns or b"" for client in living)
            assert sorted(owned) == list(range(PARTITIONS))
            assert {client.generation for client in living} == {self.group.generation}

    def is_at_rest(self) -> bool:
        living = [client for client in self.everyone if client.is_alive]
        return (
            all(client.owns is not None for client in living)
            and len(self.group.members) == len(living)
            and self.group.state is (State.STABLE if living else State.EMPTY)
        )


TestChurn = Churn.TestCase
TestChurn.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
