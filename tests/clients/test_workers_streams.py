"""Persistent streams are written exactly once in the partitions of every worker, whoever dies."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.streams import Event, Publisher

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")

WORKERS = 3
GRPC = re.compile(r"grpc http://([^\s,)]+)")


def event(number: int) -> Event:
    return Event(id=str(number), source="/test", type="test.happened", data=b"%d" % number)


def read_all(broker: Any, topic: str) -> dict[int, list[int]]:
    """Ids of events, by partition, from the beginning to the end."""
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "nobody", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, index, 0) for index in range(WORKERS)])
    found: dict[int, list[int]] = {index: [] for index in range(WORKERS)}
    ends = 0
    while ends < WORKERS:
        message = consumer.poll(20)
        assert message is not None, "no end of the partitions"
        if message.error() is not None:
            ends += 1
        else:
            found[message.partition()].append(int(message.value()))
    consumer.close()
    return found


def test_every_event_is_there_once_and_in_order(workers_process: Any, until: Any) -> None:
    broker = workers_process(WORKERS, "--grpc", "127.0.0.1:0")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 3})
    admin.create_topics([NewTopic("t", WORKERS)])["t"].result(30)
    told = GRPC.search(broker.lines[-1])
    assert told is not None
    publishers = [Publisher(told[1], "t", persistent=True, timeout_s=40) for _ in range(WORKERS)]
    sent = 0
    for victim in (1, 2, 0):  # the last one is who takes the streams
        for _ in range(5):
            for number, publisher in enumerate(publishers):
                batch = range(sent, sent + 20)
                publisher.send(*(event(number * 100_000 + each) for each in batch))
            sent += 20
        pid = broker.pids()[victim]
        os.kill(pid, signal.SIGKILL)
        for number, publisher in enumerate(publishers):
            batch = range(sent, sent + 20)
            publisher.send(*(event(number * 100_000 + each) for each in batch))
        sent += 20
        until(lambda now=pid: len(broker.pids()) == WORKERS and now not in broker.pids())
    for publisher in publishers:
        publisher.flush(40)
        publisher.close()
    found = read_all(broker, "t")
    assert sorted(len(values) for values in found.values()) == [sent] * WORKERS
    for values in found.values():
        first = values[0]
        assert values == [*range(first, first + sent)]
