"""Consumers of every client library behind one face, each in a thread of its own."""

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TOPIC = "t"
SESSION_MS = 6_000
HEARTBEAT_MS = 300


class Reader:
    """Reads topic `t` as a member of a group until it is stopped, committing as it goes.

    A subclass opens its library's consumer in `_open`, and has one poll in `_poll`.
    """

    def __init__(self, bootstrap: str, group: str, instance: str | None, **options: Any) -> None:
        self.bootstrap = bootstrap
        self.group = group
        self.instance = instance
        self.options = options
        self.records: list[tuple[int, int, bytes]] = []
        """(partition, offset, value) in the order of reading."""
        self.times: list[float] = []
        """When each was read."""
        self.assigned: frozenset[int] = frozenset()
        self.error: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Commit what was read and leave. Raises what went wrong in the thread."""
        self._stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the consumer does not stop"
        if self.error is not None:
            raise self.error

    def saw(self, partition: int, offset: int, value: bytes) -> None:
        self.times.append(time.monotonic())
        self.records.append((partition, offset, value))

    def values(self) -> list[bytes]:
        return [value for _, _, value in self.records]

    def _work(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - handed to the test by stop()
            self.error = error

    def _run(self) -> None:
        consumer = self._open()
        try:
            while not self._stopping.is_set():
                self._poll(consumer)
        finally:
            consumer.close()

    def _open(self) -> Any:
        raise NotImplementedError

    def _poll(self, consumer: Any) -> None:
        raise NotImplementedError


class ConfluentReader(Reader):
    def _open(self) -> Any:
        from confluent_kafka import Consumer

        config = {
            "bootstrap.servers": self.bootstrap,
            "group.id": self.group,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
            # At any moment, also behind a JoinGroup on the same connection.
            "auto.commit.interval.ms": 50,
            "log_level": 3,
            **self.options,
        }
        if self.instance:
            config["group.instance.id"] = self.instance
        consumer = Consumer({name: value for name, value in config.items() if value is not None})
        consumer.subscribe([TOPIC])
        return consumer

    def _poll(self, consumer: Any) -> None:
        message = consumer.poll(0.05)
        self.assigned = frozenset(partition.partition for partition in consumer.assignment())
        if message is not None:
            assert message.error() is None, message.error()
            self.saw(message.partition(), message.offset(), message.value())


class KafkaPythonReader(Reader):
    def _open(self) -> Any:
        from kafka import KafkaConsumer

        return KafkaConsumer(
            TOPIC,
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            group_instance_id=self.instance,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            **self.options,
        )

    def _poll(self, consumer: Any) -> None:
        for messages in consumer.poll(timeout_ms=50).values():
            for message in messages:
                self.saw(message.partition, message.offset, message.value)
        self.assigned = frozenset(partition.partition for partition in consumer.assignment())


class AiokafkaReader(Reader):
    def _run(self) -> None:
        asyncio.run(self._read())

    async def _read(self) -> None:
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            TOPIC,
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            group_instance_id=self.instance,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            **self.options,
        )
        await consumer.start()
        try:
            while not self._stopping.is_set():
                for messages in (await consumer.getmany(timeout_ms=50)).values():
                    for message in messages:
                        self.saw(message.partition, message.offset, message.value)
                self.assigned = frozenset(p.partition for p in consumer.assignment())
        finally:
            await consumer.stop()


@pytest.fixture(autouse=True)
def kafka_python_leaks() -> Iterator[None]:
    """Drop the sockets that kafka-python forgets to close while their warning is ignored."""
    yield
    gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of this directory; the hook is given all."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


KINDS = {
    "confluent": ConfluentReader,
    "kafka-python": KafkaPythonReader,
    "aiokafka": AiokafkaReader,
}


@pytest.fixture
def reader() -> Iterator[Callable[..., Reader]]:
    """`reader(kind, broker, group, instance=None, **options)` starts one; all stop at the end."""
    started: list[Reader] = []

    def start(
        kind: str, broker: Any, group: str = "g", instance: str | None = None, **options: Any
    ) -> Reader:
        made = KINDS[kind](broker.bootstrap, group, instance, **options)
        started.append(made)
        return made

    yield start
    for running in started:
        with contextlib.suppress(Exception):
            running.stop()


@pytest.fixture
def write() -> Callable[..., None]:
    """`write(broker, first, last)` produces those numbers as keyed records to topic `t`."""
    from confluent_kafka import Producer

    def produce(broker: Any, first: int, last: int) -> None:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 3})
        for number in range(first, last):
            producer.produce(TOPIC, key=b"k%d" % (number % 50), value=b"%d" % number)
        assert producer.flush(20) == 0

    return produce


@pytest.fixture
def shared(until: Any) -> Callable[..., None]:
    """`shared(readers, partitions)` waits until each reads some and together they read all."""

    def wait(readers: Any, partitions: int) -> None:
        def is_shared() -> bool:
            for one in readers:
                if one.error is not None:
                    raise one.error
            owned = sorted(partition for one in readers for partition in one.assigned)
            return owned == list(range(partitions)) and all(one.assigned for one in readers)

        until(is_shared, f"{partitions} partitions shared by {len(readers)}", 30.0)

    return wait


@pytest.fixture
def all_read(until: Any) -> Callable[..., None]:
    """`all_read(readers, count)` waits until numbers 0 to `count` were read, then checks that
    each reader saw each partition in order, from whatever offset it began."""

    def wait(readers: Any, count: int) -> None:
        wanted = {b"%d" % number for number in range(count)}

        def is_read() -> bool:
            for one in readers:
                if one.error is not None:
                    raise one.error
            return wanted <= {value for one in readers for value in one.values()}

        until(is_read, f"reading {count} records", 30.0)

    return wait
