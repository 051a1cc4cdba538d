"""Transactions with published clients, unchanged and with their default settings."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

KINDS = ["confluent", "kafka-python", "aiokafka"]
TOPICS = ("in", "t")


@pytest.fixture
def broker(broker: Any) -> Any:
    for topic in TOPICS:
        broker.create_topic(topic, 2)
    return broker


class ConfluentWriter:
    """One transactional producer; every library has the same few calls below."""

    def __init__(self, bootstrap: str, transactional_id: str, **settings: Any) -> None:
        from confluent_kafka import Producer

        config = {"bootstrap.servers": bootstrap, "transactional.id": transactional_id}
        self.producer = Producer({**config, "log_level": 0, **settings})
        self.producer.init_transactions(10)

    def begin(self) -> None:
        self.producer.begin_transaction()

    def send(self, value: bytes, partition: int) -> None:
        self.producer.produce("t", value, partition=partition)

    def flush(self) -> None:
        self.producer.flush(10)

    def send_offsets(self, offsets: dict[int, int], group: Any) -> None:
        from confluent_kafka import TopicPartition

        positions = [TopicPartition("in", index, offset) for index, offset in offsets.items()]
        self.producer.send_offsets_to_transaction(positions, group.consumer_group_metadata(), 10)

    def end(self, commit: bool) -> None:
        if commit:
            self.producer.commit_transaction(10)
        else:
            self.producer.abort_transaction(10)

    def close(self) -> None:
        del self.producer


class KafkaPythonWriter:
    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        from kafka import KafkaProducer

        self.producer = KafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=transactional_id
        )
        self.producer.init_transactions()

    def begin(self) -> None:
        self.producer.begin_transaction()

    def send(self, value: bytes, partition: int) -> None:
        self.producer.send("t", value, partition=partition)

    def flush(self) -> None:
        self.producer.flush(10)

    def send_offsets(self, offsets: dict[int, int], group: Any) -> None:
        from kafka.structs import OffsetAndMetadata, TopicPartition

        positions = {
            TopicPartition("in", index): OffsetAndMetadata(offset, "", -1)
            for index, offset in offsets.items()
        }
        self.producer.send_offsets_to_transaction(positions, "g")

    def end(self, commit: bool) -> None:
        if commit:
            self.producer.commit_transaction()
        else:
            self.producer.abort_transaction()

    def close(self) -> None:
        self.producer.close(5)


class AiokafkaWriter:
    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        from aiokafka import AIOKafkaProducer

        self.runner = asyncio.Runner()

        async def start() -> Any:
            producer = AIOKafkaProducer(
                bootstrap_servers=bootstrap, transactional_id=transactional_id
            )
            await producer.start()
            return producer

        self.producer = self.runner.run(start())

    def begin(self) -> None:
        self.runner.run(self.producer.begin_transaction())

    def send(self, value: bytes, partition: int) -> None:
        self.runner.run(self.producer.send("t", value, partition=partition))

    def flush(self) -> None:
        self.runner.run(self.producer.flush())

    def send_offsets(self, offsets: dict[int, int], group: Any) -> None:
        from aiokafka import TopicPartition

        positions = {TopicPartition("in", index): offset for index, offset in offsets.items()}
        self.runner.run(self.producer.send_offsets_to_transaction(positions, "g"))

    def end(self, commit: bool) -> None:
        ending = self.producer.commit_transaction if commit else self.producer.abort_transaction
        self.runner.run(ending())

    def close(self) -> None:
        self.runner.run(self.producer.stop())
        self.runner.close()


WRITERS: dict[str, Callable[..., Any]] = {
    "confluent": ConfluentWriter,
    "kafka-python": KafkaPythonWriter,
    "aiokafka": AiokafkaWriter,
}


@pytest.fixture
def writer() -> Any:
    """`writer(kind, broker, id)`; all are closed at the end, whatever they have to say."""
    made: list[Any] = []

    def make(kind: str, broker: Any, transactional_id: str = "x", **settings: Any) -> Any:
        made.append(WRITERS[kind](broker.bootstrap, transactional_id, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def committed(kind: str) -> dict[str, str]:
    """The setting of a reader of committed data; aiokafka and kafka-python call it the same."""
    name = "isolation.level" if kind == "confluent" else "isolation_level"
    return {name: "read_committed"}


@pytest.mark.parametrize("kind", KINDS)
def test_committed_readers_see_what_was_committed_in_order(
    broker: Any, writer: Any, reader: Any, until: Any, kind: str
) -> None:
    one = writer(kind, broker)
    for number in range(6):
        one.begin()
        for step in range(4):
            one.send(b"%d.%d" % (number, step), partition=step % 2)
        one.flush()  # else librdkafka drops what it has not sent when the transaction is aborted
        one.end(commit=number % 3 != 1)
    kept = [number for number in range(6) if number % 3 != 1]
    expected = [[b"%d.%d" % (n, step) for n in kept for step in (p, p + 2)] for p in (0, 1)]
    for name in KINDS if kind == "confluent" else [kind]:
        seen = reader(name, broker, group=name, **committed(name))
        until(lambda seen=seen: len(seen.records) >= 16, f"{name} reading 16 records")
        for partition in (0, 1):
            values = [value for at, _, value in seen.records if at == partition]
            assert values == expected[partition]
        seen.stop()
    everything = reader("confluent", broker, group="all", **{"isolation.level": "read_uncommitted"})
    until(lambda: len(everything.records) == 24, "reading what was aborted too")


@pytest.mark.parametrize("kind", KINDS)
def test_read_process_write_happens_once_with_its_offsets(
    broker: Any, writer: Any, kind: str
) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    source = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(24):
        source.produce("in", b"%d" % number, partition=number % 2)
    source.flush(10)
    settings = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": "g",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    done = attempts = 0
    while done < 24:
        # A new process each time, as after a crash: it begins at the committed offsets.
        consumer = Consumer(settings)
        consumer.subscribe(["in"])
        one = writer(kind, broker)
        messages = [m for m in consumer.consume(8, 10) if m.error() is None]
        attempts += 1
        one.begin()
        for message in messages:
            one.send(message.value(), partition=message.partition())
        offsets = {message.partition(): message.offset() + 1 for message in messages}
        one.flush()
        one.send_offsets(offsets, consumer)
        is_committed = attempts % 3 != 2
        one.end(commit=is_committed)
        done += len(messages) if is_committed else 0
        consumer.close()
        assert attempts < 10
    checker = Consumer(settings)
    positions = checker.committed([TopicPartition("in", index) for index in (0, 1)], 10)
    assert [position.offset for position in positions] == [12, 12]
    checker.assign([TopicPartition("t", index, 0) for index in (0, 1)])
    values: list[int] = []
    while len(values) < 24:
        values += [int(message.value()) for message in checker.consume(24 - len(values), 10)]
    assert sorted(values) == list(range(24))
    checker.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_zombie_is_fenced_and_nothing_of_it_is_seen(
    broker: Any, writer: Any, reader: Any, until: Any, kind: str
) -> None:
    zombie = writer(kind, broker)
    zombie.begin()
    zombie.send(b"zombie", partition=0)
    zombie.flush()
    heir = writer(kind, broker)
    heir.begin()
    heir.send(b"heir", partition=0)
    with pytest.raises(Exception, match=r"(?i)fenced|INVALID_PRODUCER_EPOCH|newer"):
        zombie.end(commit=True)
    heir.end(commit=True)
    seen = reader("confluent", broker, **committed("confluent"))
    until(lambda: seen.records, "reading")
    assert seen.values() == [b"heir"]


def test_a_transaction_that_takes_too_long_does_not_hold_up_readers(
    broker: Any, writer: Any, reader: Any, until: Any
) -> None:
    late = writer("confluent", broker, "late", **{"transaction.timeout.ms": 1000})
    late.begin()
    late.send(b"late", partition=0)
    late.flush()
    other = writer("confluent", broker, "other")
    other.begin()
    other.send(b"other", partition=0)
    other.end(commit=True)
    began_s = time.monotonic()
    seen = reader("confluent", broker, **committed("confluent"))
    until(lambda: seen.records, "the transaction being aborted")
    assert seen.values() == [b"other"]
    assert time.monotonic() - began_s < 6
    with pytest.raises(Exception, match="fenced"):
        late.end(commit=True)


def test_administrators_see_transactions(broker: Any, writer: Any) -> None:
    from kafka import KafkaAdminClient

    one = writer("confluent", broker)
    one.begin()
    one.send(b"v", partition=1)
    one.flush()
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        (listed,) = [one for found in admin.list_transactions().values() for one in found]
        assert (listed.transactional_id, listed.state.value) == ("x", "Ongoing")
        (described,) = admin.describe_transactions(["x"]).values()
        assert described.state.value == "Ongoing"
        one.end(commit=True)
        (listed,) = [one for found in admin.list_transactions().values() for one in found]
        assert listed.state.value == "CompleteCommit"
    finally:
        admin.close()
