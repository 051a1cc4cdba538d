"""What a transaction writes is part of it, though its coordinator is another worker that dies."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.broker import transaction_entry
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import NoPeers
from headrace.broker.transaction_entry import TransactionEntries
from headrace.broker.transactional_append import InTransaction, TransactionalAppends
from headrace.links.errors import LinkDown, LinkLost
from headrace.transactions.record import ProducerIdentity
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.workers import Enter

ID = "id-0"
PRODUCER = ProducerIdentity(5, 3)
ME = next(
    owner for owner in (Ownership(0, 2, 1), Ownership(1, 2, 1)) if not owner.is_my_transaction(ID)
)
LATER = InTransaction(ID, True)
BEFORE = InTransaction(ID, False, ErrorCode.TRANSACTION_ABORTABLE)


class Coordinator(NoPeers):
    """Another worker's, which answers as the test says."""

    def __init__(self) -> None:
        self.asked: list[Enter] = []
        self.answers: list[RequestError | None] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def enter(self, owner: int, asked: Enter) -> None:
        assert owner == 1 - ME.index
        self.asked.append(asked)
        await self.may_answer.wait()
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


class Log:
    """Of the batches' sequences."""

    def __init__(self) -> None:
        self.sequences: list[int] = []

    def is_in_transaction(self, producer_id: int, epoch: int) -> bool:
        return bool(self.sequences)

    def append(self, batch: memoryview, acks: int, done: Any) -> None:
        self.sequences.append(struct.unpack_from(">i", batch, 53)[0])
        done("appended")


class World:
    def __init__(self) -> None:
        self.peers = Coordinator()
        here: Any = SimpleNamespace(kept=set())
        self.entries = TransactionEntries(here, ME, self.peers)
        self.appends = TransactionalAppends(here, self.entries)
        self.log = Log()
        self.heard: list[tuple[int, Any]] = []
        topic = SimpleNamespace(name="t")
        self.partition: Any = SimpleNamespace(log=self.log, topic=topic, index=4)

    def append(self, sequence: int, transaction: InTransaction = LATER) -> None:
        batch = bytearray(61)
        struct.pack_into(">qhi", batch, 43, *PRODUCER, sequence)
        self.appends.append(
            self.partition,
            memoryview(batch),
            -1,
            lambda outcome: self.heard.append((sequence, getattr(outcome, "code", outcome))),
            transaction,
        )

    async def settled(self) -> None:
        await asyncio.wait_for(self.appends.close(), 10)


def run(body: Callable[[World], Awaitable[None]]) -> None:
    async def made() -> None:
        await body(World())

    asyncio.run(made())


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_entry, "PATIENCE_S", 0.2)
    monkeypatch.setattr(transaction_entry, "RETRY_S", 0.001)


def test_first_batches_wait_for_the_coordinator_in_order_and_later_ones_do_not() -> None:
    async def body(world: World) -> None:
        world.peers.may_answer.clear()
        for sequence in range(4):
            world.append(sequence)
        await asyncio.sleep(0.01)
        assert not world.heard
        world.peers.may_answer.set()
        await world.settled()
        assert world.log.sequences == [0, 1, 2, 3]
        assert world.peers.asked == [Enter(ID, *PRODUCER, "t", 4, None, True)]
        world.append(4)
        assert world.heard == [(sequence, "appended") for sequence in range(5)]
        assert len(world.peers.asked) == 1

    run(body)


def test_a_coordinator_that_is_down_for_a_moment_is_waited_for() -> None:
    async def body(world: World) -> None:
        world.peers.answers = [LinkDown("down"), LinkLost("lost"), LinkDown("down"), None]
        world.append(0)
        world.append(1)
        await world.settled()
        assert world.heard == [(0, "appended"), (1, "appended")]

    run(body)


def test_one_that_is_down_for_long_makes_clients_ask_again_in_order() -> None:
    async def body(world: World) -> None:
        world.peers.answers = [LinkDown("down")] * 10_000
        world.append(7, BEFORE)
        world.append(8, BEFORE)
        await world.settled()
        assert world.heard == [
            (7, ErrorCode.NOT_ENOUGH_REPLICAS),
            (8, ErrorCode.NOT_ENOUGH_REPLICAS),
        ]
        world.peers.answers.clear()
        with pytest.raises(RequestError) as refused:  # it was on its way already
            world.append(9, BEFORE)
        assert refused.value.code is ErrorCode.NOT_ENOUGH_REPLICAS
        for sequence in (7, 8, 9):
            world.append(sequence, BEFORE)
        await world.settled()
        assert world.log.sequences == [7, 8, 9]

    run(body)


def test_what_had_to_come_first_need_not_when_its_transaction_has_ended() -> None:
    async def body(world: World) -> None:
        world.peers.answers = [LinkDown("down")] * 10_000
        world.append(7, BEFORE)
        await world.settled()
        world.peers.answers.clear()
        world.appends.ended(PRODUCER.producer_id, "t", 4)
        world.append(9, BEFORE)
        await world.settled()
        assert world.log.sequences == [9]

    run(body)


@pytest.mark.parametrize(
    ("answer", "transaction", "sequence", "told"),
    [
        (ErrorCode.INVALID_TXN_STATE, BEFORE, 0, ErrorCode.TRANSACTION_ABORTABLE),
        (ErrorCode.INVALID_TXN_STATE, LATER, 3, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (ErrorCode.INVALID_TXN_STATE, LATER, 0, ErrorCode.INVALID_TXN_STATE),
        (ErrorCode.PRODUCER_FENCED, LATER, 0, ErrorCode.INVALID_PRODUCER_EPOCH),
        (ErrorCode.CONCURRENT_TRANSACTIONS, LATER, 0, ErrorCode.CONCURRENT_TRANSACTIONS),
        (ErrorCode.COORDINATOR_NOT_AVAILABLE, LATER, 0, ErrorCode.NOT_ENOUGH_REPLICAS),
    ],
)
def test_clients_are_told_what_they_understand(
    answer: ErrorCode, transaction: InTransaction, sequence: int, told: ErrorCode
) -> None:
    async def body(world: World) -> None:
        world.peers.answers = [RequestError(answer)]
        world.append(sequence, transaction)
        await world.settled()
        assert world.heard == [(sequence, told)]
        assert not world.log.sequences
        assert world.peers.asked[0].adds is (transaction.adds_partitions and sequence == 0)

    run(body)


def test_what_meets_the_end_of_its_transaction_is_not_written_behind_it() -> None:
    async def body(world: World) -> None:
        world.peers.may_answer.clear()
        world.append(0, BEFORE)
        await asyncio.sleep(0)
        world.appends.ended(PRODUCER.producer_id, "t", 3)
        world.appends.ended(PRODUCER.producer_id + 1, "t", 4)
        world.appends.ended(PRODUCER.producer_id, "t", 4)
        world.peers.may_answer.set()
        await world.settled()
        assert world.heard == [(0, ErrorCode.NOT_ENOUGH_REPLICAS)]
        assert not world.log.sequences
        world.append(0, BEFORE)
        await world.settled()
        assert world.log.sequences == [0]

    run(body)


def test_nobody_writes_to_a_transaction_that_another_worker_keeps() -> None:
    async def body(world: World) -> None:
        world.append(0)
        await world.settled()
        world.appends.kept_elsewhere = {PRODUCER.producer_id}
        world.peers.answers = [RequestError(ErrorCode.INVALID_TXN_STATE)]
        world.append(1)
        await world.settled()
        assert world.log.sequences == [0]
        assert world.heard[-1] == (1, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)

    run(body)
