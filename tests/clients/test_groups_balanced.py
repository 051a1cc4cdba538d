"""librdkafka in a group that asks for the assignor balanced."""

import threading

import pytest

QUICK = {
    "group.consumer.heartbeat.interval.ms": "200",
    "headrace.group.balance.interval.ms": "200",
}
ROUND_S = 0.05


@pytest.fixture
def broker():
    from headrace.testing import running_broker

    with running_broker(broker=QUICK) as running:
        yield running


@pytest.fixture
def skewed_load(broker):
    """Write far more into partition 0 of topic `t` than into the three others, until the end."""
    from confluent_kafka import Producer

    stopping = threading.Event()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 3})

    def write():
        while not stopping.wait(ROUND_S):
            for partition, size in enumerate((20_000, 200, 200, 200)):
                producer.produce("t", bytes(size), partition=partition)
            producer.poll(0)

    thread = threading.Thread(target=write, daemon=True)

    yield thread.start
    stopping.set()
    thread.join(10)
    producer.flush(10)


def test_reader_of_the_hot_partition_is_freed_of_the_others(broker, reader, skewed_load, until):
    def describe():
        async def ask(node):
            return node.broker.groups.describe_consumer("g")

        return broker.call(ask)

    broker.create_topic("t", 4)
    new = {
        "group.protocol": "consumer",
        "group.remote.assignor": "balanced",
        "session.timeout.ms": None,
        "heartbeat.interval.ms": None,
    }
    one, two = (reader("confluent", broker, **new) for _ in range(2))
    until(lambda: sorted(map(len, (one.assigned, two.assigned))) == [2, 2], "two each", 20.0)
    assert describe().assignor == "balanced"
    before = describe().generation
    skewed_load()
    until(lambda: {0} in (one.assigned, two.assigned), "the hot partition alone", 20.0)
    until(lambda: one.assigned | two.assigned == set(range(4)), "the rest with the other", 20.0)
    assert before < describe().generation <= before + 2, "not move by move"
    hot, rest = (one, two) if one.assigned == {0} else (two, one)
    for one in (hot, rest):
        seen = len(one.records)
        until(lambda one=one, seen=seen: len(one.records) > seen, "reading on", 10.0)
    for one in (hot, rest):
        one.stop()
