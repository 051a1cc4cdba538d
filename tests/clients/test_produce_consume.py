"""Published clients, unchanged and with their default settings, write and read alone.

Groups are in `test_groups_*`, administration in `test_admin_*`.
"""

import asyncio
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headrace.testing import RunningBroker

COUNT = 500
HEADERS = [("ce_type", b"departed"), ("trace", b"")]


def values() -> list[bytes]:
    return [f"event {number}".encode() for number in range(COUNT)]


def confluent_produce(bootstrap: str, topic: str, **settings: Any) -> None:
    from confluent_kafka import Producer

    failed: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    for number, value in enumerate(values()):
        producer.produce(
            topic,
            value,
            key=str(number % 7),
            headers=HEADERS,
            on_delivery=lambda error, _: error and failed.append(error),
        )
    assert producer.flush(20) == 0
    assert failed == []


def confluent_consume(bootstrap: str, topic: str, **settings: Any) -> list[Any]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "alone", **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[Any] = []
    while len(messages) < COUNT:
        batch = consumer.consume(COUNT, 10)
        assert batch, f"only {len(messages)} messages came"
        assert all(message.error() is None for message in batch)
        messages += batch
    consumer.close()
    return messages


def aiokafka_produce(bootstrap: str, topic: str) -> None:
    from aiokafka import AIOKafkaProducer

    async def produce() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            sent = [
                await producer.send(topic, value, key=str(n % 7).encode(), headers=HEADERS)
                for n, value in enumerate(values())
            ]
            await asyncio.gather(*sent)

    asyncio.run(produce())


def aiokafka_consume(bootstrap: str, topic: str) -> list[bytes]:
    from aiokafka import AIOKafkaConsumer

    async def consume() -> list[bytes]:
        seen = []
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            async with asyncio.timeout(20):
                while len(seen) < COUNT:
                    seen.append((await consumer.getone()).value)
        return seen

    return asyncio.run(consume())


def kafka_python_produce(bootstrap: str, topic: str) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap)
    sent = [
        producer.send(topic, value, key=str(n % 7).encode(), headers=HEADERS)
        for n, value in enumerate(values())
    ]
    assert [future.get(20).offset for future in sent] == list(range(COUNT))
    producer.close()


def kafka_python_consume(bootstrap: str, topic: str) -> list[bytes]:
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=15_000,
    )
    seen = []
    for message in consumer:
        seen.append(message.value)
        if len(seen) == COUNT:
            break
    consumer.close()
    return seen


def kcat() -> str:
    found = shutil.which("kcat")
    if found is None:
        pytest.skip("kcat is not installed (Debian: apt-get install kcat)")
    return found


def kcat_produce(bootstrap: str, topic: str) -> None:
    subprocess.run(
        [kcat(), "-q", "-b", bootstrap, "-P", "-t", topic],
        input=b"\n".join(values()),
        check=True,
        timeout=30,
    )


def kcat_consume(bootstrap: str, topic: str) -> list[bytes]:
    read = subprocess.run(
        [kcat(), "-q", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    return read.stdout.splitlines()


PRODUCERS = {
    "confluent-kafka": confluent_produce,
    "aiokafka": aiokafka_produce,
    "kafka-python": kafka_python_produce,
    "kcat": kcat_produce,
}
CONSUMERS = {
    "confluent-kafka": lambda bootstrap, topic: [
        message.value() for message in confluent_consume(bootstrap, topic)
    ],
    "aiokafka": aiokafka_consume,
    "kafka-python": kafka_python_consume,
    "kcat": kcat_consume,
}


@pytest.mark.parametrize("producer", PRODUCERS)
def test_every_consumer_reads_what_a_producer_wrote(broker: "RunningBroker", producer: str) -> None:
    PRODUCERS[producer](broker.bootstrap, "events")
    for name, consume in CONSUMERS.items():
        assert consume(broker.bootstrap, "events") == values(), f"{name} read something else"


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_come_out_as_they_went_in(broker: "RunningBroker", codec: str) -> None:
    confluent_produce(broker.bootstrap, "packed", **{"compression.type": codec})
    messages = confluent_consume(broker.bootstrap, "packed")
    assert [message.value() for message in messages] == values()


def test_keys_headers_and_times_are_kept(durable_broker: "RunningBroker") -> None:
    confluent_produce(durable_broker.bootstrap, "whole", **{"enable.idempotence": True})
    messages = confluent_consume(durable_broker.bootstrap, "whole")
    assert [message.offset() for message in messages] == list(range(COUNT))
    assert [message.key() for message in messages] == [str(n % 7).encode() for n in range(COUNT)]
    assert all(message.headers() == HEADERS for message in messages)
    assert all(message.timestamp()[1] > 1_700_000_000_000 for message in messages)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_acks_setting_delivers(durable_broker: "RunningBroker", acks: str) -> None:
    confluent_produce(durable_broker.bootstrap, f"acks-{acks}", acks=acks)
    assert len(confluent_consume(durable_broker.bootstrap, f"acks-{acks}")) == COUNT


def test_a_consumer_waits_for_what_is_not_there_yet(broker: "RunningBroker") -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    broker.create_topic("later")
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "waiting"})
    consumer.assign([TopicPartition("later", 0, 0)])
    assert consumer.poll(0.5) is None
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce("later", b"now")
    producer.flush(10)
    message = consumer.poll(10)
    assert message is not None
    assert message.value() == b"now"
    consumer.close()


def test_offsets_are_found_by_time(broker: "RunningBroker") -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    start_ms = 1_700_000_000_000
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "lz4"})
    for number in range(COUNT):
        producer.produce("timed", b"x", timestamp=start_ms + 1000 * number)
    producer.flush(10)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "timed"})

    def at(timestamp_ms: int) -> int:
        asked = [TopicPartition("timed", 0, timestamp_ms)]
        return int(consumer.offsets_for_times(asked, timeout=10)[0].offset)

    assert at(0) == 0
    assert at(start_ms) == 0
    assert at(start_ms + 1) == 1
    assert at(start_ms + 250_000) == 250
    assert at(start_ms + 1000 * (COUNT - 1)) == COUNT - 1
    assert at(start_ms + 1000 * COUNT) == -1, "after the last record there is none"
    consumer.close()
