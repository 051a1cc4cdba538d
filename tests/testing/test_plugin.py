"""The test kit: a broker in the test's process, alone and restartable."""

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer, TopicPartition

from headrace.testing import running_broker

if TYPE_CHECKING:
    from headrace.testing import RunningBroker


READY_S_MAX = 0.1
ATTEMPTS = 10
"""The quickest counts: this machine may be busy with something else."""


def write(bootstrap: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce("kept", value)
    assert producer.flush(10) == 0


def read(bootstrap: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition("kept", 0, 0)])
    values = [message.value() for message in consumer.consume(count, 10)]
    consumer.close()
    return values


def test_the_fixture_is_a_broker_that_clients_can_use(headrace_broker: "RunningBroker") -> None:
    write(headrace_broker.bootstrap, b"hello")
    assert read(headrace_broker.bootstrap, 1) == [b"hello"]


def test_two_brokers_do_not_know_each_other() -> None:
    with running_broker() as first, running_broker() as second:
        write(first.bootstrap, b"first")
        write(second.bootstrap, b"second")
        assert first.port != second.port
        assert read(first.bootstrap, 1) == [b"first"]
        assert read(second.bootstrap, 1) == [b"second"]


def test_a_broker_starts_again_on_its_data(tmp_path: Path) -> None:
    for turn in range(3):
        with running_broker(str(tmp_path / "data"), durability="fsync") as broker:
            write(broker.bootstrap, b"%d" % turn)
            assert read(broker.bootstrap, turn + 1) == [b"%d" % n for n in range(turn + 1)]


def test_a_broker_is_ready_in_a_tenth_of_a_second() -> None:
    quickest_s = 60.0
    for _ in range(ATTEMPTS):
        began_s = time.monotonic()
        with running_broker():
            quickest_s = min(quickest_s, time.monotonic() - began_s)
    assert quickest_s < READY_S_MAX


def test_the_plugin_costs_other_test_runs_nothing() -> None:
    code = "import sys, headrace.testing.plugin; print('headrace.server' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert printed.stdout.strip() == "False"
