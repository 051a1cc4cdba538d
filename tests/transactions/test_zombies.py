"""Two producers that both believe to be the one, and a coordinator that crashes between any two
steps: what a transaction wrote has one fate everywhere, and it is the one that was told."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.log.producers import ProducerTable
from headrace.transactions import automaton
from headrace.transactions.record import NO_PRODUCER, ProducerIdentity, TransactionRecord
from headrace.transactions.requests import Add, End, Init
from headrace.transactions.settings import TransactionSettings
from headrace.transactions.states import FOLLOWING, PREPARED, State
from headrace.wire.batch import ATTRIBUTE_TRANSACTIONAL, BatchHeader
from headrace.wire.errors import RequestError
from headrace.wire.markers import Marker

SETTINGS = TransactionSettings(timeout_ms_max=100)
PARTITIONS = (("t", 0), ("t", 1))
WHO = st.sampled_from("AAB")


class Client:
    def __init__(self) -> None:
        self.me = NO_PRODUCER
        self.before = NO_PRODUCER
        """Who it was in the transaction before this one."""
        self.transaction = -1
        self.is_open = False
        self.sequences: dict[tuple[str, int], int] = {}
        self.unanswered: End | None = None

    def becomes(self, me: ProducerIdentity) -> None:
        if me != self.me:
            self.before, self.me = self.me, me
            self.sequences = {}


class Zombies(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.record: TransactionRecord | None = None
        self.saved: TransactionRecord | None = None
        self.told: set[tuple[str, int]] = set()
        self.tables = {pair: ProducerTable() for pair in PARTITIONS}
        self.logs: dict[tuple[str, int], list[Any]] = {pair: [] for pair in PARTITIONS}
        self.clients = {"A": Client(), "B": Client()}
        self.speaks_890 = {"A": True, "B": False}
        self.transactions = 0
        self.fates: dict[int, bool] = {}
        self.open_transaction = -1
        self.now_ms = 0
        self.ids = 0
        self.start("A", False, True)

    def become(self, record: TransactionRecord, *, is_saved: bool = True) -> None:
        before = self.record
        assert before is None or record is before or record.state in FOLLOWING[before.state]
        if record.state in PREPARED and (before is None or before.state is State.ONGOING):
            self.fates[self.open_transaction] = record.state is State.PREPARE_COMMIT
            self.told = set()
        self.record = record
        if is_saved:
            self.saved = record

    def finish(self) -> None:
        while self.record is not None and self.record.state in PREPARED:
            self.tell_one(False)
            self.complete(True)

    @rule(who=WHO, knows=st.booleans(), waits=st.booleans(), keeps=st.booleans())
    def start(self, who: str, knows: bool, waits: bool, keeps: bool = False) -> None:
        client = self.clients[who]
        expected = client.me if knows else NO_PRODUCER
        if waits:
            self.finish()
        for _ in range(2):
            self.ids += 1
            try:
                request = Init(50, expected, keeps_prepared=keeps, fresh_producer_id=self.ids)
                step = automaton.init("x", self.record, request, 0, SETTINGS)
            except RequestError:
                return
            self.become(step.record)
            if step.answer is not None:
                client.becomes(step.answer)
                client.is_open, client.unanswered = step.record.is_kept, None
                client.transaction = self.open_transaction
                return
            self.finish()

    @rule(who=WHO, pair=st.sampled_from(PARTITIONS))
    def write(self, who: str, pair: tuple[str, int]) -> None:
        client = self.clients[who]
        if client.me == NO_PRODUCER or client.unanswered:
            return
        at_rest = self.record is not None and self.record.state is not State.ONGOING
        try:
            step = automaton.add(
                self.record, Add(client.me, frozenset({pair})), self.now_ms, SETTINGS
            )
        except RequestError:
            return
        self.become(step.record)
        if at_rest:
            self.transactions += 1
            self.open_transaction = self.transactions
        if not client.is_open:
            client.is_open, client.transaction = True, self.open_transaction
        self.append(client.me, pair, client.transaction, client.sequences)

    @rule(
        who=WHO,
        pairs=st.lists(st.sampled_from(PARTITIONS), min_size=1, max_size=3),
        commit=st.booleans(),
        is_lost=st.booleans(),
        is_new=st.sampled_from([False, False, False, True]),
    )
    def transact(
        self, who: str, pairs: list[tuple[str, int]], commit: bool, is_lost: bool, is_new: bool
    ) -> None:
        """A whole transaction, so that many come to an end."""
        self.finish()
        if is_new or self.clients[who].me == NO_PRODUCER:
            self.start(who, False, True)
        for pair in pairs:
            self.write(who, pair)
        self.end(who, commit, is_lost)

    @rule(who=WHO, pair=st.sampled_from(PARTITIONS))
    def write_late(self, who: str, pair: tuple[str, int]) -> None:
        """A batch of the transaction before comes out of the network now."""
        client = self.clients[who]
        if client.before != NO_PRODUCER:
            self.append(client.before, pair, -1, {})

    def append(
        self, me: ProducerIdentity, pair: tuple[str, int], transaction: int, sequences: Any
    ) -> None:
        table, log = self.tables[pair], self.logs[pair]
        sequence = sequences.get(pair, 0)
        header = BatchHeader(
            *(len(log), 80, 0, 2, 0, ATTRIBUTE_TRANSACTIONAL, 0, 0, 0), *me, sequence, 1
        )
        try:
            is_kept = self.record is not None and self.record.is_kept
            if is_kept or not table.is_in_transaction(*me):
                automaton.check_write(self.record, me, pair)
            retry_of = table.check(header)
        except RequestError:
            return
        if retry_of is None:
            table.record(header, len(log), -1, 0)
            log.append((me.producer_id, transaction))
            sequences[pair] = sequence + 1

    @rule(who=WHO, commit=st.booleans(), is_lost=st.booleans())
    def end(self, who: str, commit: bool, is_lost: bool) -> None:
        client = self.clients[who]
        if client.me == NO_PRODUCER or not (client.is_open or client.unanswered):
            return
        self.ids += 1
        request = client.unanswered or End(client.me, commit, self.speaks_890[who], self.ids)
        try:
            step = automaton.end(self.record, request, 0)
        except RequestError:
            return
        self.become(step.record)
        assert step.answer is not None
        assert self.fates[client.transaction] == request.commit
        if is_lost:
            client.unanswered = request
        else:
            client.unanswered, client.is_open = None, False
            client.becomes(step.answer)

    @precondition(lambda self: self.record is not None and self.record.state in PREPARED)
    @rule(again=st.booleans())
    def tell_one(self, again: bool) -> None:
        assert self.record is not None
        for pair in sorted(self.record.partitions):
            if pair in self.told and not again:
                continue
            marker = Marker(*self.record.producer, 0, self.record.state is State.PREPARE_COMMIT)
            if self.tables[pair].check_marker(marker):
                self.tables[pair].end(marker, len(self.logs[pair]), 0)
                self.logs[pair].append(marker)
            self.told.add(pair)
            return

    @precondition(lambda self: self.record is not None and self.record.state in PREPARED)
    @rule(is_saved=st.booleans())
    def complete(self, is_saved: bool) -> None:
        assert self.record is not None
        if self.told >= self.record.partitions:
            self.become(automaton.complete(self.record, 0), is_saved=is_saved)

    @rule()
    def crash(self) -> None:
        self.record = self.saved
        self.told = set()

    @precondition(lambda self: self.record is not None and self.record.state is State.ONGOING)
    @rule()
    def time_out(self) -> None:
        assert self.record is not None
        self.become(automaton.time_out(self.record, 0))

    @invariant()
    def one_fate_everywhere(self) -> None:
        for log in self.logs.values():
            open_writes: dict[int, list[int]] = {}
            for entry in log:
                if isinstance(entry, Marker):
                    for transaction in open_writes.pop(entry.producer_id, []):
                        assert self.fates[transaction] == entry.commit
                else:
                    assert entry[1] >= 0, "a late batch was taken"
                    open_writes.setdefault(entry[0], []).append(entry[1])

    def teardown(self) -> None:
        self.finish()
        self.one_fate_everywhere()
        if self.record is None or self.record.state is not State.ONGOING:
            for table in self.tables.values():
                assert table.transactions.open_count() == 0


TestZombies = Zombies.TestCase
TestZombies.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
