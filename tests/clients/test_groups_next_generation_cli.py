"""The command line's group verbs do for next-generation members what they do for classic ones."""

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer

if TYPE_CHECKING:
    from headrace.testing import RunningBroker

COUNT = 200
PARTITIONS = 4


@pytest.fixture
def written(durable_broker: "RunningBroker") -> "RunningBroker":
    """A broker whose topic t has COUNT records over PARTITIONS partitions."""
    durable_broker.create_topic("t", PARTITIONS)
    producer = Producer({"bootstrap.servers": durable_broker.bootstrap})
    for number in range(COUNT):
        producer.produce("t", b"%d" % number, partition=number % PARTITIONS)
    assert producer.flush(20) == 0
    return durable_broker


def headrace(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "headrace", *arguments]


def read(consumer: Consumer, count: int, timeout_s: float = 30.0) -> list[bytes]:
    """`count` values, or as many as came in time."""
    values: list[bytes] = []
    deadline = time.monotonic() + timeout_s
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None
            values.append(message.value())
    return values


def test_an_ephemeral_next_generation_group_reads_all_and_is_forgotten(
    written: "RunningBroker",
) -> None:
    consumed = subprocess.run(
        headrace(
            *("consume", "t", "--ephemeral", "--format", "value"),
            *("-X", "group.protocol=consumer", "-b", written.bootstrap),
        ),
        capture_output=True,
        check=True,
        timeout=40,
    )
    assert sorted(consumed.stdout.split()) == sorted(b"%d" % number for number in range(COUNT))
    listed = subprocess.run(
        headrace("group", "list", "--json", "-b", written.bootstrap),
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert listed.stdout == b"", "a line for each group, and there is none"


def test_live_reset_sends_next_generation_members_back(written: "RunningBroker") -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": written.bootstrap,
            "group.id": "g",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["t"])
    first = read(consumer, COUNT)
    assert len(first) == COUNT
    consumer.commit(asynchronous=False)
    reset = subprocess.Popen(
        headrace(
            *("group", "reset", "g", "--to", "earliest", "--live", "--execute"),
            *("-b", written.bootstrap),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    again = read(consumer, COUNT)
    _, told = reset.communicate(timeout=20)
    consumer.close()
    assert reset.returncode == 0, told
    assert sorted(again) == sorted(first)
