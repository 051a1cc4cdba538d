import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace.broker.append import InTransaction, append
from headrace.doors.kafka.api import Api, RequestContext
from headrace.log.contract import ACKS_ALL
from headrace.wire import schema
from headrace.wire.produce import PartitionBatch
from headrace.wire.records import Record, build_batch


class Asker:
    """Asks handlers as a connection would: through the bytes of a version, there and back."""

    def __init__(self, broker: Any) -> None:
        self.broker = broker

    async def ask(self, api: Api, version: int, request: Any) -> Any:
        context = RequestContext(self.broker, version, "tests", "127.0.0.1", 1)
        asked = schema.decode(type(request), version, schema.encode(request, version))
        answer = await api.handle(context, asked)
        return schema.decode(type(answer), version, schema.encode(answer, version))


@pytest.fixture
def with_broker(tmp_path: Path) -> Callable[..., Any]:
    """Run `body(asker)` with a broker on this test's directory; each call opens it anew."""

    def run(body: Callable[[Asker], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        from headrace.broker.broker import Broker, BrokerOptions

        async def opened() -> Any:
            broker = await Broker.open(BrokerOptions(str(tmp_path / "data"), "os", **options))
            workers = range(broker.ownership.count)
            broker.advertise(*(("127.0.0.1", 9092 + worker) for worker in workers))
            try:
                return await body(Asker(broker))
            finally:
                await broker.close()

        return asyncio.run(opened())

    return run


@pytest.fixture
def fill() -> Callable[[Any, int], Coroutine[Any, Any, None]]:
    """`await fill(partition, count)` appends as many batches of one record, and waits for them."""

    async def append(partition: Any, count: int) -> None:
        for number in range(count):
            done = asyncio.get_running_loop().create_future()
            batch = build_batch([Record(timestamp_ms=number, value=b"v%d" % number)])
            partition.log.append(memoryview(bytearray(batch)), ACKS_ALL, done.set_result)
            await done

    return append


@pytest.fixture
def with_groups(with_broker: Callable[..., Any]) -> Callable[..., Any]:
    """As `with_broker`, with topic `t` of three partitions and groups that begin at once."""

    def run(body: Callable[[Asker], Coroutine[Any, Any, Any]]) -> Any:
        async def prepared(asker: Asker) -> Any:
            await asker.broker.topics.ensure("t")
            return await body(asker)

        configs = {"group.initial.rebalance.delay.ms": "0", "num.partitions": "3"}
        return with_broker(prepared, broker_configs=configs)

    return run


@pytest.fixture
def enter() -> Callable[..., Coroutine[Any, Any, str]]:
    """`await enter(asker)` makes the one member of stable group `g`, instance `i`; its id."""
    from headrace.groups.requests import Join, Sync

    async def become_member(asker: Asker, group_id: str = "g") -> str:
        groups = asker.broker.groups
        protocols = (("range", b"mine"),)
        join = Join("", "consumer", protocols, 10_000, 10_000, "i", "tests", "127.0.0.1")
        joined = await groups.join(group_id, join)
        sync = Sync(joined.member_id, joined.generation, ((joined.member_id, b"all"),))
        assert not (await groups.sync(group_id, sync)).error
        return str(joined.member_id)

    return become_member


class Transactor:
    """A transactional producer that is in the middle of a transaction, for `with_transaction`."""

    def __init__(self, broker: Any, producer: Any) -> None:
        self.broker = broker
        self.producer = producer
        self.fields = {
            "transactional_id": "x",
            "producer_id": producer.producer_id,
            "producer_epoch": producer.epoch,
        }
        self._sequences: dict[int, int] = {}

    async def write(self, partition: int, value: bytes = b"v") -> Any:
        """The outcome of one batch in topic `t`: Appended or RequestError."""
        sequence = self._sequences.get(partition, 0)
        self._sequences[partition] = sequence + 1
        batch = build_batch(
            [Record(timestamp_ms=1, value=value)],
            producer_id=self.producer.producer_id,
            producer_epoch=self.producer.epoch,
            base_sequence=sequence,
            transactional=True,
        )
        done = asyncio.get_running_loop().create_future()
        asked = PartitionBatch("t", partition, memoryview(bytearray(batch)))
        append(self.broker, asked, ACKS_ALL, done.set_result, transaction=InTransaction("x", False))
        return await done


@pytest.fixture
def with_transaction(with_groups: Callable[..., Any]) -> Callable[..., Any]:
    """As `with_groups`; `body(asker, transactor)` has a transaction with partitions 0 and 1 of
    topic `t` and group `g`, and nothing written yet."""
    from headrace.broker.transaction_requests import Add, Init

    def run(body: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        async def begun(asker: Asker) -> Any:
            transactions = asker.broker.transactions
            producer = await transactions.init("x", Init(60_000))
            pairs = frozenset({("t", 0), ("t", 1)})
            await transactions.add("x", Add(producer, pairs, frozenset({"g"})))
            return await body(asker, Transactor(asker.broker, producer))

        return with_groups(begun)

    return run


class Inside(NamedTuple):
    """What clients cost the broker at this moment."""

    connections: int
    buffer_bytes: int
    tasks: int
    watchers: int
    held_files: int


@pytest.fixture
def look_inside() -> Callable[[Any], Inside]:
    """`look_inside(broker)` counts what the clients of a running broker cost it."""

    def look(broker: Any) -> Inside:
        async def count(node: Any) -> Inside:
            logs = [p.log for t in node.broker.topics.by_name.values() for p in t.partitions]
            files = [segment.file for log in logs for segment in log.segments if segment.file]
            return Inside(
                len(node.kafka.connections),
                node.kafka.pool.bytes_in_use,
                len(asyncio.all_tasks()),
                sum(len(log._watchers) for log in logs),
                sum(file._users - 1 for file in files),
            )

        return broker.call(count)

    return look
