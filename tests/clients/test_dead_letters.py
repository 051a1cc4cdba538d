"""Published clients read what stands in a dead-letter topic."""

import asyncio
import subprocess
import sys
from typing import Any

from headrace.groups.dead_letter import DeadLetterReason
from headrace.testing import RunningBroker

DLQ = "dlq.orders"
OWN_HEADERS = [
    ("__dlq.errors.topic", b"orders"),
    ("__dlq.errors.partition", b"0"),
    ("__dlq.errors.offset", b"0"),
    ("__dlq.errors.group", b"shop"),
    ("__dlq.errors.delivery.count", b"2"),
    ("__dlq.errors.message", b"rejected by a consumer"),
]
EXPECTED = (b"k", b"v", [("trace", b"7"), ("nothing", None), *OWN_HEADERS])


def _give_up(broker: RunningBroker) -> None:
    """A record produced by a real client, and its dead letter."""
    from confluent_kafka import Producer

    broker.create_topic("orders")
    broker.create_topic(DLQ, 1, {"errors.deadletterqueue.group.enable": "true"})
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "lz4"})
    producer.produce("orders", b"v", b"k", headers=[("trace", b"7"), ("nothing", None)])
    assert producer.flush(10) == 0
    configs = {
        "errors.deadletterqueue.topic.name": DLQ,
        "errors.deadletterqueue.copy.record.enable": "true",
    }

    async def send(node: Any) -> None:
        await node.broker.group_configs.alter("shop", lambda _: configs, in_use=False)
        await node.broker.dead_letters.send(
            "shop", "orders", 0, [(0, 0, 2)], DeadLetterReason.REJECTED
        )

    broker.call(send)


def test_clients_see_the_record_and_why_it_was_given_up(durable_broker: RunningBroker) -> None:
    from aiokafka import AIOKafkaConsumer
    from confluent_kafka import Consumer, TopicPartition
    from kafka import KafkaConsumer

    _give_up(durable_broker)
    bootstrap = durable_broker.bootstrap

    confluent = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "check.crcs": True})
    confluent.assign([TopicPartition(DLQ, 0, 0)])
    message = confluent.poll(20)
    assert message is not None
    assert (message.key(), message.value(), message.headers()) == EXPECTED
    confluent.close()

    python = KafkaConsumer(DLQ, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    record = next(python)
    assert (record.key, record.value, list(record.headers)) == EXPECTED
    python.close()

    async def read() -> Any:
        consumer = AIOKafkaConsumer(DLQ, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            return await asyncio.wait_for(consumer.getone(), 20)
        finally:
            await consumer.stop()

    found = asyncio.run(read())
    assert (found.key, found.value, list(found.headers)) == EXPECTED


def test_the_command_line_shows_why(broker: RunningBroker) -> None:
    _give_up(broker)
    shown = subprocess.run(
        [
            *(sys.executable, "-m", "headrace", "consume", DLQ),
            *("--bootstrap", broker.bootstrap),
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert shown.returncode == 0, shown.stderr
    for name, value in OWN_HEADERS:
        assert f"{name}={(value or b'').decode()}" in shown.stdout
