"""The broker dies in the middle of transactions: each is whole or was never there."""

import asyncio
import contextlib
import os
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from headrace.broker import transaction_end
from headrace.broker.append import InTransaction, append
from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.group_requests import Commit, OffsetToCommit
from headrace.broker.transaction_requests import Add, End, Init
from headrace.log.contract import ACKS_ALL
from headrace.wire.produce import PartitionBatch
from headrace.wire.records import Record, build_batch

KILLS = 3
WORKERS = 3


async def opened(path: Path) -> Broker:
    return await Broker.open(BrokerOptions(str(path), "fsync", topic_configs={}))


async def in_the_middle(broker: Broker) -> Any:
    """A transaction with a record in each of two partitions and an offset; its producer."""
    for topic in ("a", "b"):
        await broker.topics.ensure(topic)
    producer = await broker.transactions.init("x", Init(60_000))
    pairs = frozenset({("a", 0), ("b", 0)})
    await broker.transactions.add("x", Add(producer, pairs, frozenset({"g"})))
    for topic in ("a", "b"):
        batch = build_batch(
            [Record(timestamp_ms=1, value=b"v")],
            producer_id=producer.producer_id,
            producer_epoch=producer.epoch,
            base_sequence=0,
            transactional=True,
        )
        done = asyncio.get_running_loop().create_future()
        asked = PartitionBatch(topic, 0, memoryview(bytearray(batch)))
        append(broker, asked, ACKS_ALL, done.set_result, transaction=InTransaction("x", False))
        await done
    offsets = (OffsetToCommit("a", 0, 7, -1, ""),)
    assert await broker.groups.commit("g", Commit(offsets, producer_id=producer.producer_id)) == [0]
    return producer


def stand(broker: Broker) -> tuple[list[tuple[int, int, bool]], dict[Any, int]]:
    """(last stable offset, high watermark, whether something was aborted) of each partition, and
    the group's offsets."""
    logs = [broker.topics.partition(topic, 0).log for topic in ("a", "b")]
    offsets = broker.groups.offsets("g")
    return (
        [(*log.offsets()[1:3], bool(log.aborted_between(0, 9))) for log in logs],
        {pair: committed.offset for pair, committed in offsets.items()},
    )


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("markers", [0, 1, 2], ids=["none", "one", "all"])
def test_what_was_decided_is_ended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, markers: int, commit: bool
) -> None:
    """Killed between the decision and so many of the markers; none of the offsets is settled."""
    real = transaction_end.write_marker
    written = 0
    dead = asyncio.Event()

    async def write_some(*arguments: Any) -> None:
        nonlocal written
        if written < markers:
            written += 1
            await real(*arguments)
            if written < markers:
                return
        dead.set()
        await asyncio.Event().wait()

    async def scenario() -> None:
        broker = await opened(tmp_path / "data")
        producer = await in_the_middle(broker)
        monkeypatch.setattr(transaction_end, "write_marker", write_some)
        monkeypatch.setattr(broker.groups, "end_transaction", lambda *_, **__: asyncio.sleep(999))
        ending = asyncio.ensure_future(broker.transactions.end("x", End(producer, commit)))
        await asyncio.wait_for(dead.wait(), 10)
        shutil.copytree(tmp_path / "data", tmp_path / "image")
        ending.cancel()
        await broker.close()
        monkeypatch.setattr(transaction_end, "write_marker", real)
        broker = await opened(tmp_path / "image")
        await broker.transactions.add("x", Add(producer))  # which waits for the end
        assert stand(broker) == ([(2, 2, not commit)] * 2, {("a", 0): 7} if commit else {})
        assert await broker.catalog.pending_offsets.load_all() == []
        await broker.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_what_was_not_decided_is_still_open_and_ends_as_its_producer_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = await opened(tmp_path / "data")
        producer = await in_the_middle(broker)
        shutil.copytree(tmp_path / "data", tmp_path / "image")
        await broker.close()
        broker = await opened(tmp_path / "image")
        assert stand(broker) == ([(0, 1, False)] * 2, {})
        await broker.transactions.end("x", End(producer, True))
        assert stand(broker) == ([(2, 2, False)] * 2, {("a", 0): 7})
        await broker.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_what_no_coordinator_knows_is_aborted_by_a_start(tmp_path: Path) -> None:
    """A power cut with durability=os can take a marker whose transaction was complete."""

    async def scenario() -> None:
        broker = await opened(tmp_path / "data")
        await in_the_middle(broker)
        await broker.catalog.transactions.delete(["x"])
        await broker.close()
        broker = await opened(tmp_path / "data")
        assert stand(broker)[0] == [(2, 2, True)] * 2
        await broker.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


class Transfers:
    """Workers that write pairs, one record to each of two topics, in one transaction each."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self.committed: Counter[str] = Counter()
        self.aborted: set[str] = set()
        self.failures: list[BaseException] = []
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(f"w{number}",), daemon=True)
            for number in range(WORKERS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.failures

    def _work(self, name: str) -> None:
        try:
            self._transact(name, random.Random(name))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.failures.append(error)

    def _transact(self, name: str, rng: random.Random) -> None:
        producer = self._producer(name)
        number = 0
        while not self._stopping.is_set():
            number += 1
            value = f"{name}#{number}"
            is_committed = rng.random() < 0.8
            try:
                producer.begin_transaction()
                producer.produce("a", value, partition=0)
                producer.produce("b", value, partition=0)
                if is_committed:
                    retried(producer.commit_transaction)
                    self.committed[value] += 1
                else:
                    producer.flush(30)
                    retried(producer.abort_transaction)
                    self.aborted.add(value)
            except KafkaException as failed:
                error = failed.args[0]
                if error.txn_requires_abort():
                    retried(producer.abort_transaction)
                    self.aborted.add(value)
                elif error.fatal():
                    producer = self._producer(name)
                else:
                    raise

    def _producer(self, name: str) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self.process.bootstrap,
                "transactional.id": name,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "log_level": 0,
            }
        )
        retried(producer.init_transactions)
        return producer


def retried(call: Callable[[float], None]) -> None:
    for attempt in range(20):
        try:
            call(10)
        except KafkaException as failed:
            if not failed.args[0].retriable() or attempt == 19:
                raise
        else:
            return


def read_committed(process: Any, topic: str) -> list[str]:
    consumer = Consumer(
        {
            "bootstrap.servers": process.bootstrap,
            "group.id": "checker",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = []
    with contextlib.closing(consumer):
        while True:
            message = consumer.poll(10)
            assert message is not None
            if message.error() is not None:
                return values
            values.append(message.value().decode())


@pytest.mark.slow
def test_transactions_under_kills_are_whole_and_none_is_lost(
    broker_process: Any, create_topic: Callable[..., None], until: Any
) -> None:
    seed = int(os.environ.get("HEADRACE_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"HEADRACE_TEST_SEED={seed}")  # shown when the test fails
    rng = random.Random(seed)
    process = broker_process("--durability", "fsync")
    for topic in ("a", "b"):
        create_topic(process, topic, segment_bytes=str(1 << 16))
    transfers = Transfers(process)
    pause = threading.Event()
    for _ in range(KILLS):
        before = transfers.committed.total()
        until(lambda b=before: transfers.committed.total() > b + 3, "commits")  # type: ignore[misc]
        pause.wait(rng.uniform(0, 0.1))
        process.kill()
        process.start()
    transfers.stop()
    seen = [read_committed(process, topic) for topic in ("a", "b")]
    assert sorted(seen[0]) == sorted(seen[1])
    assert len(set(seen[0])) == len(seen[0])
    assert set(transfers.committed) <= set(seen[0])
    assert not transfers.aborted & set(seen[0])
    assert len(seen[0]) > 4 * KILLS
    for values in seen:
        for worker in range(WORKERS):
            numbers = [int(v.split("#")[1]) for v in values if v.startswith(f"w{worker}#")]
            assert numbers == sorted(numbers)
