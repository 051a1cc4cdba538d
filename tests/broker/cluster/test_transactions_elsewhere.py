"""A transaction is whole though its id, its group and its partition are three workers'."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headrace.broker import transaction_coordinator
from headrace.broker.append import ACKS_ALL, Appended, append
from headrace.broker.cluster.peers import Change
from headrace.broker.group_requests import Commit, OffsetToCommit
from headrace.broker.transaction_requests import Add, End, Init, ProducerIdentity
from headrace.broker.transactional_append import InTransaction
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.produce import PartitionBatch
from headrace.wire.records import Record, build_batch

ID_AT, GROUP_AT, PARTITION_AT = 0, 1, 2


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


class Spread:
    """One producer; `later` is the protocol since KIP-890."""

    def __init__(self, workers: Any, later: bool) -> None:
        self.workers = workers
        self.later = later
        ownership = workers.all[0].ownership
        names = [f"n{n}" for n in range(99)]
        self.id = next(n for n in names if ownership.owner_of_transaction(n) == ID_AT)
        self.group = next(n for n in names if ownership.owner_of_group(n) == GROUP_AT)
        self.producer: ProducerIdentity
        self.sequence = 0
        self.partition = -1

    def at(self, index: int) -> Any:
        return self.workers.all[index]

    async def begin(self) -> None:
        await self.at(0).topics.create("t", 3)
        owners = [self.workers.owner("t", n) for n in range(3)]
        self.partition = owners.index(self.at(PARTITION_AT))
        self.producer = await self.at(ID_AT).transactions.init(self.id, Init(60_000))

    async def write(self) -> Any:
        if not self.later:
            where = frozenset({("t", self.partition)})
            await self.at(ID_AT).transactions.add(self.id, Add(self.producer, partitions=where))
        return await self.write_only()

    def send(self, done: Callable[[Any], None]) -> None:
        record = Record(-1, self.at(PARTITION_AT).now_ms(), None, b"x")
        batch = build_batch(
            [record],
            producer_id=self.producer.producer_id,
            producer_epoch=self.producer.epoch,
            base_sequence=self.sequence,
            transactional=True,
        )
        self.sequence += 1
        place = PartitionBatch("t", self.partition, memoryview(bytearray(batch)))
        within = InTransaction(self.id, self.later)
        try:
            append(self.at(PARTITION_AT), place, ACKS_ALL, done, transaction=within)
        except RequestError as error:
            done(error)

    async def write_only(self) -> Any:
        heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(heard.set_result)
        return await heard

    async def commit_offset(self, offset: int) -> None:
        broker = self.at(GROUP_AT)
        if not self.later:
            group = frozenset({self.group})
            await self.at(ID_AT).transactions.add(self.id, Add(self.producer, groups=group))
        with broker.entries.asking(self.producer.producer_id, self.group) as asking:
            await broker.entries.enter(self.id, self.producer, self.group, adds=self.later)
            assert not asking.is_void
        offsets = (OffsetToCommit("t", 0, offset, -1, ""),)
        commit = Commit(offsets, producer_id=self.producer.producer_id)
        assert await broker.groups.commit(self.group, commit) == [0]

    async def end(self, *, commit: bool) -> None:
        end = End(self.producer, commit, bumps_epoch=self.later)
        before = self.producer
        self.producer = await self.at(ID_AT).transactions.end(self.id, end)
        if self.producer != before:
            self.sequence = 0

    def committed(self) -> int:
        found = self.at(GROUP_AT).groups.offsets(self.group).get(("t", 0))
        return -1 if found is None else found.offset

    def log(self) -> Any:
        return self.at(PARTITION_AT).topics.partition("t", self.partition).log

    def is_over(self) -> bool:
        offsets = self.log().offsets()
        return (
            offsets.last_stable == offsets.high_watermark
            and not self.at(GROUP_AT).groups.pending(self.group)
            and not self.at(ID_AT).transactions.open_records()
        )


@pytest.fixture(params=[False, True], ids=["added", "implicit"])
def spread(with_workers: Callable[..., None], request: pytest.FixtureRequest) -> Any:
    def run(body: Callable[[Spread], Any]) -> None:
        async def begun(workers: Any) -> None:
            one = Spread(workers, request.param)
            await one.begin()
            await body(one)

        with_workers(begun)

    return run


async def restart(one: Spread, index: int) -> None:
    one.workers.all[index] = await one.workers.open(index)


def test_it_commits_and_aborts_everywhere(spread: Any) -> None:
    async def body(one: Spread) -> None:
        for number, commit in enumerate((True, False, True)):
            for _ in range(2):
                assert isinstance(await one.write(), Appended)
            assert one.log().offsets().last_stable < one.log().offsets().high_watermark
            await one.commit_offset(number)
            assert one.at(GROUP_AT).groups.pending(one.group)
            await one.end(commit=commit)
            assert one.is_over()
            assert one.committed() == (number if commit else 0)
        ends = one.log().aborted_between(0, 99)
        assert [(found.producer_id, found.first_offset) for found in ends] == [
            (one.producer.producer_id, 3)
        ]

    spread(body)


def test_pipelined_first_batches_stay_in_order(spread: Any) -> None:
    async def body(one: Spread) -> None:
        heard: list[Any] = []
        if not one.later:
            where = frozenset({("t", one.partition)})
            await one.at(ID_AT).transactions.add(one.id, Add(one.producer, partitions=where))
        for _ in range(5):
            one.send(heard.append)
        assert not heard
        await until(lambda: len(heard) == 5)
        assert [outcome.base_offset for outcome in heard] == [*range(5)]

    spread(body)


@pytest.mark.parametrize("dead", [GROUP_AT, PARTITION_AT])
def test_what_was_decided_reaches_a_worker_that_was_down(
    spread: Any, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction_coordinator, "COMPLETION_WAIT_S", 0.1)
    monkeypatch.setattr(transaction_coordinator, "RETRY_S", 0.02)

    async def body(one: Spread) -> None:
        await one.write()
        await one.commit_offset(7)
        await one.at(dead).close()
        await one.end(commit=True)
        await restart(one, dead)
        await until(one.is_over)
        assert one.committed() == 7
        assert not one.log().aborted_between(0, 99)
        assert isinstance(await one.write(), Appended)

    spread(body)


@pytest.mark.parametrize("is_decided", [False, True])
def test_a_coordinator_that_comes_back_goes_on(
    spread: Any, is_decided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction_coordinator, "COMPLETION_WAIT_S", 0.1)

    async def body(one: Spread) -> None:
        await one.write()
        await one.commit_offset(7)
        if is_decided:
            await one.at(PARTITION_AT).close()
            await one.end(commit=True)
        await one.at(ID_AT).close()
        await restart(one, ID_AT)
        if is_decided:
            await restart(one, PARTITION_AT)
        else:
            assert isinstance(await one.write(), Appended)
            await one.end(commit=True)
        await until(one.is_over)
        assert one.committed() == 7
        assert not one.log().aborted_between(0, 99)

    spread(body)


def test_a_batch_waits_for_its_coordinator_to_come_back(spread: Any) -> None:
    async def body(one: Spread) -> None:
        if not one.later:
            where = frozenset({("t", one.partition)})
            await one.at(ID_AT).transactions.add(one.id, Add(one.producer, partitions=where))
        await one.at(ID_AT).close()
        writing = asyncio.create_task(one.write_only())
        await asyncio.sleep(0.05)
        assert not writing.done()
        await restart(one, ID_AT)
        assert isinstance(await writing, Appended)
        await one.end(commit=True)
        assert one.is_over()

    spread(body)


def test_a_zombie_and_a_stranger_are_refused(spread: Any) -> None:
    async def body(one: Spread) -> None:
        await one.write()
        zombie = one.producer
        one.producer = await one.at(ID_AT).transactions.init(one.id, Init(60_000))
        heir, one.producer = one.producer, zombie
        refused = await one.write_only()
        assert refused.code is ErrorCode.INVALID_PRODUCER_EPOCH
        with pytest.raises(RequestError) as fenced:
            await one.commit_offset(3)
        assert fenced.value.code is ErrorCode.PRODUCER_FENCED
        one.producer, one.sequence = heir, 0
        assert isinstance(await one.write(), Appended)

    spread(body)


def test_who_was_succeeded_writes_no_more_to_what_is_kept(spread: Any) -> None:
    async def body(one: Spread) -> None:
        await one.write()
        earlier = one.producer
        keep = Init(60_000, two_phase=True, keeps_prepared=True)
        heir = await one.at(ID_AT).transactions.init(one.id, keep)
        assert heir.epoch > earlier.epoch
        refused = await one.write_only()
        assert isinstance(refused, RequestError)
        one.producer = heir
        await one.end(commit=True)
        await until(one.is_over)
        for broker in one.workers.all:
            await broker.take_up(Change.KEPT_TRANSACTIONS)
            assert not broker.transactional_appends.kept_elsewhere
        one.sequence = 0
        assert isinstance(await one.write(), Appended)

    spread(body)


def test_another_workers_word_about_a_transaction_is_not_taken(spread: Any) -> None:
    async def body(one: Spread) -> None:
        peers = one.at(PARTITION_AT).peers
        place = ("t", one.partition)
        entries = one.at(PARTITION_AT).entries
        with pytest.raises(RequestError) as refused:
            await entries.enter(one.id, ProducerIdentity(999, 0), place, adds=True)
        assert refused.value.code is ErrorCode.INVALID_PRODUCER_ID_MAPPING
        with pytest.raises(RequestError) as refused:
            await entries.enter(one.id, one.producer, ("t", 99), adds=True)
        assert refused.value.code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        with pytest.raises(RequestError) as refused:
            await peers.end_group(ID_AT, one.group, 1, commit=True)
        assert refused.value.code is ErrorCode.NOT_COORDINATOR

    spread(body)
