"""A real share consumer rejects records and uses up deliveries; what it gave up is in the topic."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import AcknowledgeType, Consumer, Producer, ShareConsumer, TopicPartition

from headrace.testing import RunningBroker, running_broker

DLQ = "dlq.orders"
GROUP_CONFIGS = {
    "share.auto.offset.reset": "earliest",
    "share.delivery.count.limit": "2",
    "errors.deadletterqueue.topic.name": DLQ,
    "errors.deadletterqueue.copy.record.enable": "true",
}
VERDICTS = {
    b"good": AcknowledgeType.ACCEPT,
    b"bad": AcknowledgeType.REJECT,
    b"stubborn": AcknowledgeType.RELEASE,
}


@pytest.fixture
def shop() -> Iterator[RunningBroker]:
    """A broker with the topic `orders`, and a share group `shop` that has a dead-letter topic."""
    quick = {
        "group.share.min.heartbeat.interval.ms": "100",
        "group.share.heartbeat.interval.ms": "100",
    }
    with running_broker(durability="fsync", broker=quick) as broker:
        broker.create_topic("orders")
        broker.create_topic(DLQ, 1, {"errors.deadletterqueue.group.enable": "true"})

        async def configure(node: Any) -> None:
            await node.broker.group_configs.alter("shop", lambda _: GROUP_CONFIGS, in_use=False)

        broker.call(configure)
        yield broker


def _produce(broker: RunningBroker, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "zstd"})
    for value in values:
        producer.produce("orders", value, b"key", headers=[("trace", b"7")])
    assert producer.flush(10) == 0


def _work(broker: RunningBroker, done: Any) -> list[tuple[bytes, int]]:
    """Read and judge as VERDICTS says until `done`; what came, in order."""
    seen: list[tuple[bytes, int]] = []
    consumer = ShareConsumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "shop",
            "share.acknowledgement.mode": "explicit",
        }
    )
    try:
        consumer.subscribe(["orders"])
        while not done(seen):  # the test's own time limit ends it
            for message in consumer.poll(0.2):
                assert message.error() is None, message.error()
                consumer.acknowledge(message, VERDICTS[message.value()])
                seen.append((message.value(), message.offset()))
            consumer.commit_sync(10)
    finally:
        consumer.close()
    return seen


def _letters(broker: RunningBroker, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(DLQ, 0, 0)])
    try:
        messages = consumer.consume(count, 20)
        assert len(messages) == count
        return messages
    finally:
        consumer.close()


def _counts(broker: RunningBroker) -> Any:
    return broker.node.broker.dead_letters.counts


def test_what_is_rejected_or_used_up_comes_to_the_dead_letter_topic(shop: RunningBroker) -> None:
    _produce(shop, b"good", b"bad", b"stubborn", b"good")
    seen = _work(shop, lambda _: _counts(shop).written_of["shop"] >= 2)
    assert sorted(seen) == [
        (b"bad", 1),
        (b"good", 0),
        (b"good", 3),
        (b"stubborn", 2),
        (b"stubborn", 2),
    ]
    letters = {message.value(): message for message in _letters(shop, 2)}
    for value, offset, count, reason in (
        (b"bad", b"1", b"1", b"rejected by a consumer"),
        (b"stubborn", b"2", b"2", b"delivered as often as the group allows, and never accepted"),
    ):
        assert letters[value].key() == b"key"
        assert letters[value].headers() == [
            ("trace", b"7"),
            ("__dlq.errors.topic", b"orders"),
            ("__dlq.errors.partition", b"0"),
            ("__dlq.errors.offset", offset),
            ("__dlq.errors.group", b"shop"),
            ("__dlq.errors.delivery.count", count),
            ("__dlq.errors.message", reason),
        ]


def test_a_dead_letter_topic_that_is_gone_does_not_stop_the_group(shop: RunningBroker) -> None:
    async def delete(node: Any) -> None:
        await node.broker.topics.delete(DLQ)

    shop.call(delete)
    _produce(shop, *[b"bad", b"good"] * 10)
    seen = _work(shop, lambda seen: len(seen) >= 20)
    assert sorted(offset for _, offset in seen) == list(range(20))
    assert _counts(shop).lost_of == {("shop", "no_topic"): 10}


def _configure(bootstrap: str) -> None:
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        NewTopic,
        ResourceType,
    )

    admin = AdminClient({"bootstrap.servers": bootstrap})
    allowed = {"errors.deadletterqueue.group.enable": "true"}
    topics = [NewTopic("orders", 1, 1), NewTopic(DLQ, 1, 1, config=allowed)]
    for created in admin.create_topics(topics).values():
        created.result(10)
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in GROUP_CONFIGS.items()
    ]
    resource = ConfigResource(ResourceType.GROUP, "shop", incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(10)


def test_no_dead_letter_is_missing_after_a_kill(broker_process: Any) -> None:
    broker = broker_process()
    _configure(broker.bootstrap)
    _produce(broker, *[b"bad"] * 200)
    consumer = ShareConsumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "shop",
            "share.acknowledgement.mode": "explicit",
            "max.poll.records": 10,
            "log_level": 2,
        }
    )
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader", "log_level": 2})
    reader.assign([TopicPartition(DLQ, 0, 0)])
    consumer.subscribe(["orders"])
    told: list[int] = []
    killed = False
    try:
        while len(set(told)) < 200:  # the test's own time limit ends it
            for message in consumer.poll(0.1):
                if message.error() is None:
                    consumer.acknowledge(message, AcknowledgeType.REJECT)
            consumer.commit_async()
            letters = [letter for letter in reader.consume(100, 0.05) if letter.error() is None]
            told += [int(dict(letter.headers())["__dlq.errors.offset"]) for letter in letters]
            if told and not killed:
                killed = True
                assert len(told) < 200
                broker.kill()
                broker.start()
    finally:
        consumer.close()
        reader.close()
    assert killed
    assert set(told) == set(range(200))
