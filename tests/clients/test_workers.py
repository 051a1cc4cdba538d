"""Real clients against several workers: they find what they want, and a killed one is not missed
for long."""

import os
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")

WORKERS = 3
PARTITIONS = 6


def admin(broker: Any, worker: int | None = None) -> AdminClient:
    """Of one worker, or of all."""
    port = broker.port if worker is None else broker.port + 1 + worker
    return AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 3})


def create(broker: Any, name: str, partitions: int = PARTITIONS) -> None:
    client = admin(broker)  # with it, what it was asked for would be gone
    client.create_topics([NewTopic(name, partitions)])[name].result(30)


def committed(broker: Any, topic: str, group: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group, "log_level": 3})
    try:
        asked = [TopicPartition(topic, index) for index in range(PARTITIONS)]
        return {one.partition: one.offset for one in consumer.committed(asked, timeout=30)}
    finally:
        consumer.close()


def read_all(broker: Any, topic: str, *, isolation: str = "read_committed") -> dict[int, list[Any]]:
    """The values of each partition, from its beginning to its end as it is now."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "nobody",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "log_level": 3,
        }
    )
    found = defaultdict[int, list[Any]](list)
    try:
        count = len(consumer.list_topics(topic, 30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, index, 0) for index in range(count)])
        open_ = set(range(count))
        deadline = time.monotonic() + 30
        while open_:
            assert time.monotonic() < deadline, f"{open_} of {topic} do not end"
            message = consumer.poll(0.2)
            if message is None:
                continue
            if message.error():
                open_.discard(message.partition())
            else:
                found[message.partition()].append(message.value())
    finally:
        consumer.close()
    return found


class Load:
    """Numbers go into every partition of a topic until it is stopped; which were acknowledged."""

    def __init__(self, broker: Any, topic: str) -> None:
        self.acked = defaultdict[int, list[bytes]](list)
        self.errors: list[str] = []
        self.slowest_s = defaultdict[int, float](float)
        """By partition, from handing in to the acknowledgement."""
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "log_level": 3,
            }
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            for partition in range(PARTITIONS):
                value = b"%d" % number
                told = self._told(value, time.monotonic())
                self._producer.produce(self._topic, value, partition=partition, on_delivery=told)
            number += 1
            self._producer.poll(0.002)
        self._producer.flush(30)

    def _told(self, value: bytes, began_s: float) -> Any:
        def told(error: Any, message: Any) -> None:
            if error is not None:
                self.errors.append(str(error))
                return
            partition = message.partition()
            self.acked[partition].append(value)
            took_s = time.monotonic() - began_s
            self.slowest_s[partition] = max(self.slowest_s[partition], took_s)

        return told

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(40)
        assert not self._thread.is_alive()


def test_a_worker_that_is_killed_under_load_loses_nothing_and_disturbs_nobody(
    workers_process: Any, until: Any
) -> None:
    broker = workers_process(WORKERS)
    create(broker, "t")
    metadata = admin(broker).list_topics("t", 30)
    leaders = {index: part.leader for index, part in metadata.topics["t"].partitions.items()}
    assert sorted(leaders.values()) == [1, 1, 2, 2, 3, 3]
    load = Load(broker, "t")
    for victim in (0, 2):
        before = {index: len(load.acked[index]) for index in leaders}
        until(lambda now=before: all(len(load.acked[i]) > now[i] + 50 for i in leaders), "progress")
        pid = broker.pids()[victim]
        os.kill(pid, signal.SIGKILL)
        until(lambda now=pid: len(broker.pids()) == WORKERS and now not in broker.pids())
        before = {index: len(load.acked[index]) for index in leaders}
        until(lambda now=before: all(len(load.acked[i]) > now[i] + 50 for i in leaders), "progress")
    load.stop()
    assert not load.errors
    found = read_all(broker, "t")
    for index in leaders:
        assert found[index] == load.acked[index]
    untouched = max(load.slowest_s[index] for index, leader in leaders.items() if leader == 2)
    assert untouched < 2.0, "the worker that lived was held up"
    assert broker.stop() == 0


def test_any_worker_creates_grows_configures_and_deletes_topics(workers_process: Any) -> None:
    broker = workers_process(WORKERS)
    for worker in range(WORKERS):
        one, other = admin(broker, worker), admin(broker, (worker + 1) % WORKERS)
        name = f"t{worker}"
        one.create_topics([NewTopic(name, 3)])[name].result(30)
        assert len(other.list_topics(name, 30).topics[name].partitions) == 3
        other.create_partitions([NewPartitions(name, PARTITIONS)])[name].result(30)
        producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 3})
        for partition in range(PARTITIONS):
            producer.produce(name, b"v", partition=partition)
        assert producer.flush(30) == 0
        assert sum(map(len, read_all(broker, name).values())) == PARTITIONS
    for worker in range(WORKERS):
        name = f"t{worker}"
        client = admin(broker, (worker + 2) % WORKERS)
        client.delete_topics([name])[name].result(30)
        for asked in range(WORKERS):
            assert name not in admin(broker, asked).list_topics(timeout=30).topics
    assert not list((broker.data / "topics").iterdir())
    assert broker.stop() == 0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_groups_live_on_their_worker_and_over_its_death(
    workers_process: Any, until: Any, protocol: str
) -> None:
    broker = workers_process(WORKERS)
    create(broker, "t")
    load = Load(broker, "t")
    client = admin(broker)
    coordinator = client.describe_consumer_groups(["g"])["g"].result(30).coordinator
    seen = defaultdict[int, list[bytes]](list)
    stopping = threading.Event()

    def read() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "g",
                "group.protocol": protocol,
                "auto.offset.reset": "earliest",
                "auto.commit.interval.ms": 50,
                "log_level": 3,
            }
        )
        consumer.subscribe(["t"])
        try:
            while not stopping.is_set():
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    seen[message.partition()].append(message.value())
        finally:
            consumer.close()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    until(lambda: all(len(seen[index]) > 50 for index in range(PARTITIONS)), "reading")
    os.kill(broker.pids()[coordinator.id - 1], signal.SIGKILL)
    before = {index: len(seen[index]) for index in range(PARTITIONS)}
    until(
        lambda: all(len(seen[index]) > before[index] + 100 for index in range(PARTITIONS)),
        "reading on",
    )
    load.stop()
    assert not load.errors
    until(
        lambda: all(seen[i][-1] == load.acked[i][-1] for i in range(PARTITIONS)), "reading it all"
    )
    stopping.set()
    reader.join(30)
    for index in range(PARTITIONS):
        assert list(dict.fromkeys(seen[index])) == load.acked[index]
    ends = {index: len(load.acked[index]) for index in range(PARTITIONS)}
    assert committed(broker, "t", "g") == ends
    assert broker.stop() == 0
