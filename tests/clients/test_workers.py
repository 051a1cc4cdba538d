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
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
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
                told = self._told(value)
                self._producer.produce(self._topic, value, partition=partition, on_delivery=told)
            number += 1
            self._producer.poll(0.002)
        self._producer.flush(30)

    def _told(self, value: bytes) -> Any:
        def told(error: Any, message: Any) -> None:
            if error is not None:
                self.errors.append(str(error))
                return
            self.acked[message.partition()].append(value)

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
    for pid in (broker.pids()[0], 0):
        before = {index: len(load.acked[index]) for index in leaders}
        until(lambda now=before: all(len(load.acked[i]) > now[i] + 50 for i in leaders), "progress")
        if pid:
            os.kill(pid, signal.SIGKILL)
            alone = {index: len(load.acked[index]) for index in leaders}
            until(lambda now=pid: len(broker.pids()) == WORKERS and now not in broker.pids())
            meanwhile = {index: len(load.acked[index]) - alone[index] for index in leaders}
    load.stop()
    assert not load.errors
    found = read_all(broker, "t")
    for index in leaders:
        assert found[index] == load.acked[index]
    assert all(meanwhile[index] for index in leaders if leaders[index] != 1), "all were held up"
    broker.kill()
    assert read_all(broker.start(), "t") == load.acked
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


@pytest.mark.parametrize("kind", ["kafka-python", "aiokafka"])
def test_other_libraries_find_their_way_too(
    workers_process: Any, reader: Any, write: Any, shared: Any, all_read: Any, kind: str
) -> None:
    broker = workers_process(WORKERS)
    create(broker, "t")
    readers = [reader(kind, broker) for _ in range(2)]
    shared(readers, PARTITIONS)
    write(broker, 0, 600)
    all_read(readers, 600)


def test_topics_that_come_and_go_by_all_workers_at_once_end_the_same_for_all(
    workers_process: Any,
) -> None:
    """Names clash on purpose: whoever is second is told so, and nobody sees half a topic."""
    broker = workers_process(WORKERS)
    names = [f"t{number}" for number in range(8)]
    known = {KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.UNKNOWN_TOPIC_OR_PART}
    surprises: list[str] = []

    def storm(worker: int) -> None:
        client = admin(broker, worker)
        for turn in range(4):
            asked = client.create_topics([NewTopic(name, 4) for name in names])
            if (turn + worker) % 2:
                asked = client.delete_topics(names)
            for future in asked.values():
                error = future.exception(60)
                code = error.args[0].code() if isinstance(error, KafkaException) else error
                if error is not None and code not in known:
                    surprises.append(str(error))

    threads = [threading.Thread(target=storm, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not surprises
    client = admin(broker)
    for name, future in client.create_topics([NewTopic(name, 4) for name in names]).items():
        error = future.exception(30)
        assert error is None or error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, name
    seen = [admin(broker, worker).list_topics(timeout=30).topics for worker in range(WORKERS)]
    for topics in seen:
        assert sorted(topics) == names
        leaders = {name: [p.leader for p in t.partitions.values()] for name, t in topics.items()}
        assert all(len(of) == 4 for of in leaders.values())
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 3})
    for name in names:
        for partition in range(4):
            producer.produce(name, b"v", partition=partition)
    assert producer.flush(30) == 0
    assert all(sum(map(len, read_all(broker, name).values())) == 4 for name in names)
    assert len(list((broker.data / "topics").iterdir())) == len(names)
    assert broker.stop() == 0
    assert "ERROR" not in broker.log()


def test_any_number_of_workers_serves_what_another_number_left(
    workers_process: Any, broker_process: Any, tmp_path: Path
) -> None:
    """1, 3, 2, 1: records, committed offsets, transactions and producers are where they were."""
    data = tmp_path / "data"
    values: list[bytes] = []
    for turn, count in enumerate((1, 3, 2, 1)):
        broker = broker_process(data=data) if count == 1 else workers_process(count, data=data)
        if turn == 0:
            create(broker, "t")
        producer = Producer(
            {"bootstrap.servers": broker.bootstrap, "transactional.id": "teller", "log_level": 3}
        )
        producer.init_transactions(30)
        member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g", "log_level": 3})
        for decide in (producer.commit_transaction, producer.abort_transaction):
            producer.begin_transaction()
            value = f"{turn}-{decide.__name__}".encode()
            for partition in range(PARTITIONS):
                producer.produce("t", value, partition=partition)
            offsets = [TopicPartition("t", index, 10 * turn + 1) for index in range(PARTITIONS)]
            group = member.consumer_group_metadata()
            if decide == producer.commit_transaction:
                values.append(value)
            else:
                offsets = [TopicPartition("t", 0, 99)]
            producer.send_offsets_to_transaction(offsets, group, 30)
            decide(30)
        assert read_all(broker, "t") == dict.fromkeys(range(PARTITIONS), values)
        assert committed(broker, "t", "g") == dict.fromkeys(range(PARTITIONS), 10 * turn + 1)
        member.close()
        # What the next one takes over is a transaction that nobody ended.
        producer.begin_transaction()
        producer.produce("t", b"never", partition=0)
        producer.flush(30)
        if turn == 1:
            broker.kill()
        else:
            assert broker.stop() == 0
        del producer
    assert (data / "headrace.clean").exists()


def test_a_transaction_over_three_workers_is_whole_whoever_is_killed(
    workers_process: Any, until: Any
) -> None:
    broker = workers_process(WORKERS)
    create(broker, "t")
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap,
            "transactional.id": "teller",
            "transaction.timeout.ms": 30_000,
            "log_level": 3,
        }
    )
    producer.init_transactions(30)
    committed_values: list[bytes] = []
    for turn in range(4):
        victim = broker.pids()[turn % WORKERS]
        producer.begin_transaction()
        value = b"%d" % turn
        for partition in range(PARTITIONS):
            producer.produce("t", value, partition=partition)
        if turn % 2:
            producer.flush(30)
        killer = threading.Timer(0.005 * turn, os.kill, (victim, signal.SIGKILL))
        killer.start()
        if turn == 3:
            producer.abort_transaction(60)
        else:
            producer.commit_transaction(60)
            committed_values.append(value)
        killer.join()
        until(lambda gone=victim: len(broker.pids()) == WORKERS and gone not in broker.pids())
    assert read_all(broker, "t") == dict.fromkeys(range(PARTITIONS), committed_values)
    assert broker.stop() == 0
