"""Transactions end everywhere or nowhere, whatever fails and whenever the broker dies."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace.broker import transaction_coordinator
from headrace.broker.transaction_coordinator import TransactionCoordinator
from headrace.catalog.transactions import TransactionRow
from headrace.transactions.record import ProducerIdentity, TransactionRecord
from headrace.transactions.requests import Add, End, Init
from headrace.transactions.settings import TransactionSettings
from headrace.transactions.states import State
from headrace.wire.errors import ErrorCode, RequestError

DISK_FULL = RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "disk full")
T0 = frozenset({("t", 0)})


class World:
    """A catalog that can fail or stop, partitions that note how transactions ended, a clock."""

    def __init__(self) -> None:
        self.rows: dict[str, TransactionRow] = {}
        self.writes = 0
        """Under way."""
        self.writes_left = 1 << 30
        self.is_full = False
        self.refused = 0
        self.now_ms = 0
        self.ids = 100
        self.ended: list[tuple[str, State, int]] = []
        self.end_errors: list[RequestError] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.settings = TransactionSettings(timeout_check_ms=3_600_000)

    async def load_all(self) -> list[TransactionRow]:
        return list(self.rows.values())

    async def save(self, row: TransactionRow) -> None:
        await self._write()
        self.rows[row.transactional_id] = row

    async def delete(self, transactional_ids: Any) -> None:
        await self._write()
        for transactional_id in transactional_ids:
            self.rows.pop(transactional_id, None)

    async def _write(self) -> None:
        is_full = self.is_full
        self.writes += 1
        await asyncio.sleep(0)
        self.writes -= 1
        if is_full:
            self.refused += 1
            raise DISK_FULL
        self.writes_left -= 1
        if self.writes_left < 0:  # the broker is dead, nothing happens any more
            await asyncio.Event().wait()

    async def next_id(self) -> int:
        self.ids += 1
        return self.ids

    async def end_everywhere(self, record: TransactionRecord) -> None:
        await self.may_end.wait()
        if self.end_errors:
            raise self.end_errors.pop()
        self.ended.append((record.transactional_id, record.state, record.epoch))

    def coordinator(self, **options: Any) -> TransactionCoordinator:
        return TransactionCoordinator(
            self, self.settings, lambda: self.now_ms, self.next_id, self.end_everywhere, **options
        )


@pytest.fixture
def with_world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(transaction_coordinator, "RETRY_S", 0.01)

    def run(body: Callable[[World, TransactionCoordinator], Awaitable[None]]) -> None:
        async def started() -> None:
            world = World()
            coordinator = world.coordinator()
            await coordinator.start()
            try:
                await body(world, coordinator)
            finally:
                await coordinator.close()

        asyncio.run(asyncio.wait_for(started(), 20))

    return run


async def begun(coordinator: TransactionCoordinator, id_: str = "x") -> ProducerIdentity:
    producer = await coordinator.init(id_, Init(1000))
    await coordinator.add(id_, Add(producer, T0))
    return producer


async def code_of(work: Awaitable[Any]) -> ErrorCode:
    with pytest.raises(RequestError) as refusal:
        await work
    return refusal.value.code


def test_an_answered_end_has_ended_everywhere(with_world):
    async def body(world, coordinator):
        producer = await begun(coordinator)
        assert await coordinator.end("x", End(producer, True)) == producer
        assert world.ended == [("x", State.PREPARE_COMMIT, 0)]
        assert coordinator.record("x").state is State.COMPLETE_COMMIT
        bumped = await coordinator.end("x", End(producer, False, bumps_epoch=True))
        assert bumped == (producer.producer_id, 1)
        assert len(world.ended) == 1  # there was nothing to end

    with_world(body)


def test_what_cannot_end_yet_is_tried_again(with_world, monkeypatch):
    async def body(world, coordinator):
        producer = await begun(coordinator)
        world.end_errors = [DISK_FULL, DISK_FULL]
        await coordinator.end("x", End(producer, False))
        assert world.ended == [("x", State.PREPARE_ABORT, 0)]
        assert (coordinator.stats.end_retries, coordinator.stats.aborted) == (2, 1)

    with_world(body)


def test_an_end_that_takes_long_is_answered_when_it_is_decided(with_world, monkeypatch):
    monkeypatch.setattr(transaction_coordinator, "COMPLETION_WAIT_S", 0.01)

    async def body(world, coordinator):
        producer = await begun(coordinator)
        world.may_end.clear()
        await coordinator.end("x", End(producer, True))
        assert world.rows["x"].state == "PrepareCommit"
        assert world.ended == []
        refused = await code_of(coordinator.add("x", Add(producer, T0)))
        assert refused is ErrorCode.CONCURRENT_TRANSACTIONS
        refused = await code_of(coordinator.init("x", Init(1000)))
        assert refused is ErrorCode.CONCURRENT_TRANSACTIONS
        world.may_end.set()
        await coordinator.add("x", Add(producer, T0))

    with_world(body)


def test_the_next_transaction_is_saved_after_the_end_of_the_last(with_world, monkeypatch):
    """However close they are: else the catalog would tell of an end when all is forgotten but it,
    and a commit of what was open would be answered as if it were that end."""
    monkeypatch.setattr(transaction_coordinator, "COMPLETION_WAIT_S", 0.01)

    async def body(world, coordinator):
        producer = await begun(coordinator)
        world.may_end.clear()
        await coordinator.end("x", End(producer, True))
        adding = asyncio.ensure_future(coordinator.add("x", Add(producer, T0)))
        world.may_end.set()  # so that this one's turn is before that one's step
        await adding
        while world.writes:
            await asyncio.sleep(0)
        assert coordinator.record("x").state is State.ONGOING
        assert world.rows["x"].state == "Ongoing"

    with_world(body)


def test_an_id_is_not_forgotten_under_a_step(with_world):
    async def body(world, coordinator):
        producer = await coordinator.init("x", Init(1000))
        world.now_ms = world.settings.id_expiration_ms
        adding = asyncio.ensure_future(coordinator.add("x", Add(producer, T0)))
        await asyncio.sleep(0)  # it was asked for and has not begun
        await coordinator.forget_expired()
        await adding
        await coordinator.end("x", End(producer, True))
        assert world.ended == [("x", State.PREPARE_COMMIT, 0)]

    with_world(body)


def test_a_producer_whose_rival_failed_is_not_forgotten(with_world):
    async def body(world, coordinator):
        world.is_full = True
        failing = asyncio.ensure_future(coordinator.init("x", Init(1000)))
        while not world.refused:
            await asyncio.sleep(0)
        world.is_full = False
        second = asyncio.ensure_future(coordinator.init("x", Init(1000)))
        assert await code_of(failing) is ErrorCode.COORDINATOR_NOT_AVAILABLE
        assert await second == coordinator.record("x").producer

    with_world(body)


def test_ids_expire_by_the_clock_that_does_not_jump():
    async def scenario() -> None:
        world = World()
        coordinator = world.coordinator(retention_ms=lambda: 1)
        await coordinator.start()
        await coordinator.init("x", Init(1000))
        world.now_ms = 2 * world.settings.id_expiration_ms
        await coordinator.forget_expired()
        assert list(coordinator.records()) == ["x"]
        await coordinator.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_look_for_overdue_transactions_that_fails_is_not_the_last(with_world, monkeypatch):
    async def body(world, coordinator):
        looks = []

        async def fail() -> None:
            looks.append(1)
            raise ZeroDivisionError

        monkeypatch.setattr(coordinator, "abort_overdue", fail)
        coordinator.settings = TransactionSettings(timeout_check_ms=1)
        watching = asyncio.ensure_future(coordinator._watch_timeouts())
        while len(looks) < 2 and not watching.done():
            await asyncio.sleep(0.001)
        assert not watching.done()
        watching.cancel()

    with_world(body)


def test_a_new_producer_waits_for_the_end_of_what_was_left_open(with_world):
    async def body(world, coordinator):
        zombie = await begun(coordinator)
        heir = await coordinator.init("x", Init(1000))
        assert heir == (zombie.producer_id, zombie.epoch + 2)
        assert world.ended == [("x", State.PREPARE_ABORT, zombie.epoch + 1)]
        assert await code_of(coordinator.end("x", End(zombie, True))) is ErrorCode.PRODUCER_FENCED
        with pytest.raises(RequestError) as refusal:
            coordinator.check_write("x", zombie, ("t", 0))
        assert refusal.value.code is ErrorCode.INVALID_PRODUCER_EPOCH

    with_world(body)


def test_no_jump_of_the_calendar_ends_a_transaction_or_keeps_it_open():
    async def scenario() -> None:
        world = World()
        steady_ms = 0
        world.now_ms = year_ms = 365 * 86_400_000
        coordinator = world.coordinator(steady_ms=lambda: steady_ms)
        await coordinator.start()
        await begun(coordinator)
        for jumped_ms in (2 * year_ms, 0):
            world.now_ms = jumped_ms
            await coordinator.abort_overdue()
            assert not world.ended
        steady_ms = 1000
        await coordinator.abort_overdue()
        await coordinator.init("x", Init(1000))
        assert world.ended == [("x", State.PREPARE_ABORT, 1)]
        await coordinator.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_what_was_begun_under_a_clock_that_was_ahead_takes_no_longer_after_a_start():
    async def scenario() -> None:
        world = World()
        world.now_ms = 10**12
        before = world.coordinator()
        await before.start()
        await begun(before)
        await before.close()
        world.now_ms, steady_ms = 0, 0
        coordinator = world.coordinator(steady_ms=lambda: steady_ms)
        await coordinator.start()
        await coordinator.abort_overdue()
        assert not world.ended
        steady_ms = 1000
        await coordinator.abort_overdue()
        assert coordinator.stats.timeouts == 1
        await coordinator.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(with_world):
    async def body(world, coordinator):
        producer = await begun(coordinator)
        world.now_ms = 999
        await coordinator.abort_overdue()
        assert not world.ended
        world.now_ms = 1000
        await coordinator.abort_overdue()
        await coordinator.init("x", Init(1000))
        assert world.ended == [("x", State.PREPARE_ABORT, 1)]
        assert await code_of(coordinator.end("x", End(producer, True))) is ErrorCode.PRODUCER_FENCED
        assert (coordinator.stats.timeouts, coordinator.stats.fenced) == (1, 1)

    with_world(body)


def test_a_full_disk_changes_nothing(with_world):
    async def body(world, coordinator):
        producer = await begun(coordinator)
        world.is_full = True
        for work in (
            coordinator.add("x", Add(producer, frozenset({("t", 1)}))),
            coordinator.end("x", End(producer, True)),
            coordinator.init("x", Init(1000)),
            coordinator.init("new", Init(1000)),
        ):
            assert await code_of(work) is ErrorCode.COORDINATOR_NOT_AVAILABLE
        assert not world.ended
        assert list(coordinator.records()) == ["x"]
        world.is_full = False
        await coordinator.end("x", End(producer, True))
        assert world.ended == [("x", State.PREPARE_COMMIT, 0)]

    with_world(body)


def test_a_caller_that_hangs_up_does_not_stop_what_was_begun(with_world):
    async def body(world, coordinator):
        producer = await begun(coordinator)
        world.may_end.clear()
        ending = asyncio.ensure_future(coordinator.end("x", End(producer, True)))
        while "Prepare" not in world.rows["x"].state:
            await asyncio.sleep(0)
        ending.cancel()
        world.may_end.set()
        while coordinator.record("x").state is not State.COMPLETE_COMMIT:
            await asyncio.sleep(0)

    with_world(body)


@pytest.mark.parametrize("bumps", [False, True], ids=["before KIP-890", "since"])
@pytest.mark.parametrize("writes", range(5))
def test_a_crash_after_any_write_leaves_a_transaction_that_ends_one_way(writes, bumps):
    """Init, add, prepare, complete: the broker dies after so many writes to the catalog."""

    async def scenario() -> None:
        world = World()
        world.writes_left = writes
        dead = world.coordinator()
        await dead.start()

        async def use() -> None:
            producer = await begun(dead)
            await dead.end("x", End(producer, True, bumps_epoch=bumps))

        using = asyncio.ensure_future(use())
        await asyncio.wait([using], timeout=0.05)
        using.cancel()
        told = list(world.ended)
        world.writes_left = 1 << 30
        coordinator = world.coordinator()
        await coordinator.start()
        heir = await coordinator.init("x", Init(1000))
        assert heir.epoch >= 0
        states = {state for _, state, _ in world.ended}
        if writes >= 3:
            assert states == {State.PREPARE_COMMIT}
        elif writes == 2:
            assert states == {State.PREPARE_ABORT}
        else:
            assert states == set()
        assert told == world.ended[: len(told)]
        await coordinator.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_ids_that_nobody_uses_are_forgotten(with_world):
    async def body(world, coordinator):
        await coordinator.init("idle", Init(1000))
        await begun(coordinator, "busy")
        world.now_ms = world.settings.id_expiration_ms
        await coordinator.forget_expired()
        assert list(coordinator.records()) == ["busy"]
        assert list(world.rows) == ["busy"]
        assert (await coordinator.init("idle", Init(1000))).epoch == 0

    with_world(body)


def test_transactional_ids_are_bounded(with_world):
    async def body(world, coordinator):
        coordinator.settings = TransactionSettings(ids_max=1, id_length_max=3)
        await coordinator.init("x", Init(1000))
        assert await code_of(coordinator.init("y", Init(1000))) is ErrorCode.POLICY_VIOLATION
        for id_ in ("", "long"):
            assert await code_of(coordinator.init(id_, Init(1000))) is ErrorCode.INVALID_REQUEST
        assert list(coordinator.records()) == ["x"]

    with_world(body)
