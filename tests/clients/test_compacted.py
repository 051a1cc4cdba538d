"""Published clients read compacted topics to the end: over runs of removed records, and where
nothing else is left of the log's end.

With the least fetch size an answer may hold nothing but a batch without records.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from headrace.testing import running_broker

if TYPE_CHECKING:
    from headrace.testing import RunningBroker

DAY_MS = 24 * 3600 * 1000
COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
TINY = 70
"""Bytes: more than a batch without records, less than one with."""
KEPT = [(201, b"k1", b"last"), (303, b"k2", b"last")]
END = 506

Read = Callable[[str, int], tuple[list[tuple[int, bytes, bytes]], int]]


def confluent(bootstrap: str, fetch_bytes: int) -> tuple[list[Any], int]:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    settings = {"enable.partition.eof": True, "group.id": "g", "check.crcs": True}
    if fetch_bytes:
        settings |= {"fetch.message.max.bytes": fetch_bytes}
    consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
    consumer.assign([TopicPartition("t", 0, 0)])
    found = []
    while True:
        message = consumer.poll(15)
        assert message is not None, f"nothing after {found}"
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF
            break
        found.append((message.offset(), message.key(), message.value()))
    end = message.offset()
    consumer.close()
    return found, end


def kafka_python(bootstrap: str, fetch_bytes: int) -> tuple[list[Any], int]:
    from kafka import KafkaConsumer, TopicPartition

    settings = {"max_partition_fetch_bytes": fetch_bytes} if fetch_bytes else {}
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, check_crcs=True, **settings)
    partition = TopicPartition("t", 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    found = []
    for _ in range(1000):
        polled = consumer.poll(timeout_ms=200).get(partition, ())
        found += [(message.offset, message.key, message.value) for message in polled]
        if consumer.position(partition) >= END:
            break
    end = consumer.position(partition)
    consumer.close()
    return found, end


def aiokafka(bootstrap: str, fetch_bytes: int) -> tuple[list[Any], int]:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    async def read() -> tuple[list[Any], int]:
        settings = {"max_partition_fetch_bytes": fetch_bytes} if fetch_bytes else {}
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, **settings) as consumer:
            partition = TopicPartition("t", 0)
            consumer.assign([partition])
            consumer.seek(partition, 0)
            found = []
            async with asyncio.timeout(20):
                while await consumer.position(partition) < END:
                    polled = (await consumer.getmany(timeout_ms=200)).get(partition, ())
                    found += [(message.offset, message.key, message.value) for message in polled]
            return found, await consumer.position(partition)

    return asyncio.run(read())


def kcat(bootstrap: str, fetch_bytes: int) -> tuple[list[Any], int]:
    options = ["-X", f"fetch.message.max.bytes={fetch_bytes}"] if fetch_bytes else []
    command = ["kcat", "-b", bootstrap, "-C", "-t", "t", "-p", "0", "-o", "0", "-e", "-f"]
    output = subprocess.run(
        [*command, "%o %k %s\n", *options], capture_output=True, check=True, timeout=20
    )
    lines = [line.split() for line in output.stdout.splitlines()]
    found = [(int(offset), key, value) for offset, key, value in lines]
    end = output.stderr.decode().rpartition("at offset ")[2].partition(":")[0].strip()
    return found, int(end)


@pytest.fixture(scope="module")
def compacted() -> "Iterator[RunningBroker]":
    """A topic of which little is left: `t`, from `fill`."""
    with running_broker(broker={"log.cleaner.backoff.ms": "3600000"}) as broker:
        broker.create_topic("t", 1, COMPACTED)
        fill(broker)
        yield broker


def fill(broker: "RunningBroker") -> None:
    """Long runs of one key, two records that stay, and at the end tombstones that do not. Every
    batch has one record, most have a producer id."""
    from confluent_kafka import Producer

    settings = {"bootstrap.servers": broker.bootstrap, "batch.num.messages": 1}
    idempotent = Producer({**settings, "enable.idempotence": True})
    plain = Producer({**settings, "compression.type": "lz4"})
    for run, last in ((200, b"k1"), (100, b"k2"), (201, None)):
        for number in range(run):
            idempotent.produce("t", f"{number}", key="run")
        assert idempotent.flush(20) == 0
        if last is not None:
            plain.produce("t", "first", key=last)
            plain.produce("t", "last", key=last)
            assert plain.flush(20) == 0
    idempotent.produce("t", None, key="run")
    assert idempotent.flush(20) == 0
    compact(broker, 0)
    compact(broker, 2 * DAY_MS)


def compact(broker: "RunningBroker", later_ms: int) -> None:
    async def work(node: Any) -> None:
        log = node.broker.topics.get("t").partitions[0].log
        if log.segments.active.size_bytes:
            log.roll()
        log.compaction._clean_until = -1  # a pass although nothing was written
        for _ in range(2):  # the second time it is idle, and gets its checkpoint
            await log.tidy(0)
        await log.clean(node.broker.now_ms() + later_ms, 1 << 20)

    broker.call(work)


@pytest.mark.parametrize("fetch_bytes", [0, TINY])
@pytest.mark.parametrize("read", [confluent, kafka_python, aiokafka, kcat])
def test_a_client_reads_what_is_left_and_comes_to_the_end(
    compacted: "RunningBroker", read: Read, fetch_bytes: int
) -> None:
    if read is kcat and not shutil.which("kcat"):
        pytest.skip("kcat is not installed")
    found, end = read(compacted.bootstrap, fetch_bytes)
    assert end == compacted_end(compacted) == END
    assert found == KEPT


def compacted_end(broker: "RunningBroker") -> int:
    async def work(node: Any) -> int:
        return node.broker.topics.get("t").partitions[0].log.offsets().high_watermark

    return broker.call(work)


def test_a_record_without_a_key_is_refused_to_its_producer(compacted: "RunningBroker") -> None:
    from confluent_kafka import KafkaError, Producer
    from kafka import KafkaProducer
    from kafka.errors import InvalidRecordError

    told: list[Any] = []
    producer = Producer({"bootstrap.servers": compacted.bootstrap})
    producer.produce("t", "no key", on_delivery=lambda error, _: told.append(error.code()))
    assert producer.flush(20) == 0
    assert told == [KafkaError.INVALID_RECORD]
    other = KafkaProducer(bootstrap_servers=compacted.bootstrap)
    with pytest.raises(InvalidRecordError):
        other.send("t", b"no key").get(20)
    other.close()
    assert compacted_end(compacted) == END


def test_of_transactions_the_last_committed_record_of_each_key_stays() -> None:
    from confluent_kafka import Producer

    with running_broker(broker={"log.cleaner.backoff.ms": "3600000"}) as broker:
        broker.create_topic("t", 1, COMPACTED)
        producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "x"})
        producer.init_transactions(20)
        expected: dict[bytes, bytes] = {}
        for number in range(30):
            producer.begin_transaction()
            key, value = b"k%d" % (number % 4), b"%d" % number
            producer.produce("t", value, key)
            producer.produce("t", value, b"every")
            if number % 3:
                producer.commit_transaction(20)
                expected |= {key: value, b"every": value}
            else:
                assert producer.flush(20) == 0
                producer.abort_transaction(20)
        compact(broker, 0)
        found, end = confluent(broker.bootstrap, 0)
        assert {key: value for _, key, value in found} == expected
        assert len(found) == len(expected)
        assert end == 30 * 3
