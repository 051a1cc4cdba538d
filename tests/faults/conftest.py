"""Load that goes on while a broker is maltreated, recorded so that it can be judged."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer

from headrace.testing.history import History, Place, Sent
from headrace.testing.raw_client import RawClient, records_of
from headrace.wire.records import Record

UNDER_WAY_MAX = 2000
"""Records of one producer that wait for an acknowledgement."""


def parsed(record: Record) -> Sent:
    producer, _, sequence = (record.value or b"").decode().partition("#")
    return Sent(producer, int(sequence))


class Load:
    """Idempotent producers, each in a thread, and a reader of every partition that follows."""

    def __init__(self, process: Any, topic: str, partitions: int) -> None:
        self.process = process
        self.topic = topic
        self.partitions = partitions
        self.history = History()
        self.failures: list[str] = []
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, producers: int) -> "Load":
        for number in range(producers):
            self._run(self._produce, f"p{number}")
        for partition in range(self.partitions):
            self._run(self._follow, partition)
        return self

    def stop(self) -> None:
        """Send no more, wait until all that was sent is acknowledged."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), f"{thread.name} does not end"

    def acked_count(self) -> int:
        return len(self.history.acks)

    def final_log(self) -> list[tuple[Place, Sent]]:
        with RawClient("127.0.0.1", self.process.port) as client:
            return [
                (Place(partition, record.offset), parsed(record))
                for partition in range(self.partitions)
                for record in client.read_all(self.topic, partition)
            ]

    def _run(self, work: Callable[[Any], None], argument: Any) -> None:
        thread = threading.Thread(target=work, args=(argument,), name=f"{argument}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _produce(self, name: str) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.process.bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # never give up: a send has two outcomes only
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 50,
                "linger.ms": 1,
                "log_level": 0,
            }
        )
        sequences = [0] * self.partitions

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failures.append(f"{name}: {error}")
                return
            sent = int((message.value() or b"").rpartition(b"#")[2])
            self.history.acked(message.partition(), message.offset(), name, sent)

        turn = 0
        while not self._stopping.is_set():
            if len(producer) < UNDER_WAY_MAX:
                for _ in range(8):
                    partition = turn % self.partitions
                    turn += 1
                    value = f"{name}#{sequences[partition]}"
                    sequences[partition] += 1
                    producer.produce(
                        self.topic, value, partition=partition, on_delivery=acknowledged
                    )
            producer.poll(0.003)
        if producer.flush(40):
            self.failures.append(f"{name}: {len(producer)} records were never acknowledged")

    def _follow(self, partition: int) -> None:
        offset = 0
        while not self._stopping.is_set():
            with (
                contextlib.suppress(OSError),
                RawClient("127.0.0.1", self.process.port, timeout_s=3) as client,
            ):
                while not self._stopping.is_set():
                    data = client.fetch(self.topic, partition, offset, max_wait_ms=200)
                    if data.error_code:
                        self.failures.append(f"reading {offset}: error {data.error_code}")
                        return
                    for record in records_of(data.records or b""):
                        if record.offset >= offset:
                            self.history.saw(partition, record.offset, *parsed(record))
                            offset = record.offset + 1
            self._stopping.wait(0.02)


@pytest.fixture
def load() -> Iterator[Callable[..., Load]]:
    """`load(process, topic, partitions)`, stopped at the end whatever happens."""
    made: list[Load] = []

    def make(*arguments: Any) -> Load:
        made.append(Load(*arguments))
        return made[-1]

    yield make
    for one in made:
        one._stopping.set()
