"""What all tests share: brokers, in this process and as processes of their own."""

import contextlib
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from headrace.testing import RunningBroker

# No deadline for each example: codecs are compiled on first use, and a busy machine is no bug. The
# timeout of a whole test stays.
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")

# A shell that starts the tests with `&` makes them deaf to Ctrl-C, and what they start with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Brokers in processes of their own would otherwise all want the default HTTP and gRPC ports.
os.environ.setdefault("HEADRACE_HTTP", "off")
os.environ.setdefault("HEADRACE_GRPC", "off")

READY = re.compile(r"ready on kafka://(?P<address>(?P<host>[^ ]+):(?P<port>\d+))")


@pytest.fixture
def broker() -> "Iterator[RunningBroker]":
    """An empty broker in this process that keeps what it acknowledges in the page cache."""
    from headrace.testing import running_broker

    with running_broker() as running:
        yield running


@pytest.fixture
def durable_broker() -> "Iterator[RunningBroker]":
    """As `broker`, with the default durability: acknowledged is fsynced."""
    from headrace.testing import running_broker

    with running_broker(durability="fsync") as running:
        yield running


class BrokerProcess:
    """`headrace serve` as a child process that can be killed and started again."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.options = options
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, timeout_s: float = 20.0) -> "BrokerProcess":
        """Start on the port it had before, and wait for the ready line."""
        log = open(self.data.parent / f"{self.data.name}.log", "ab")  # noqa: SIM115
        with log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "headrace", "serve", "--data", str(self.data)),
                    *("--kafka", f"127.0.0.1:{self.port}", *self.options),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            readable, _, _ = select.select([self.process.stdout], [], [], 0.2)
            if readable:
                line = self.process.stdout.readline()
                self.lines.append(line)
                found = READY.search(line)
                if found:
                    self.port = int(found["port"])
                    return self
                if not line:
                    break
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        ended = self.process.poll()
        raise AssertionError(f"the broker did not start ({ended}): {self.lines}\n{self.log()}")

    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL: what was not on the disk or in the page cache is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait for the clean end."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)  # nothing if it has ended already
        try:
            return process.wait(20)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def broker_process(tmp_path: Path) -> Iterator[Any]:
    """Makes `BrokerProcess`es and leaves none behind: `broker_process(*options)`."""
    made: list[BrokerProcess] = []

    def make(*options: str, data: Path | None = None) -> BrokerProcess:
        process = BrokerProcess(data or tmp_path / f"data{len(made)}", *options)
        made.append(process)
        return process.start()

    yield make
    for process in made:
        process.kill()


@pytest.fixture
def connect() -> Iterator[Any]:
    """`connect(broker)` is a `RawClient` of either kind of broker, closed at the end."""
    from headrace.testing.raw_client import RawClient

    with contextlib.ExitStack() as stack:

        def connect_to(broker: Any, **options: Any) -> RawClient:
            return stack.enter_context(RawClient("127.0.0.1", broker.port, **options))

        yield connect_to


@pytest.fixture
def create_topic(connect: Any) -> Any:
    """`create_topic(broker, name, partitions=1, **configs)`, dots in names as underscores."""
    from headrace.wire.messages.k19_create_topics import (
        CreatableTopic,
        CreatableTopicConfig,
        CreateTopicsRequest,
        CreateTopicsResponse,
    )

    def create(broker: Any, name: str, partitions: int = 1, **configs: str) -> None:
        wanted = [CreatableTopicConfig(n.replace("_", "."), v) for n, v in configs.items()]
        topic = CreatableTopic(
            name=name, num_partitions=partitions, replication_factor=1, configs=wanted
        )
        request = CreateTopicsRequest(topics=[topic])
        answer = connect(broker).ask(request, CreateTopicsResponse, 5)
        assert answer.topics[0].error_code == 0, answer.topics[0].error_message

    return create


@pytest.fixture
def until() -> Any:
    """`until(condition, what)` polls until the condition holds and returns its value."""

    def wait(condition: Any, what: str = "the condition", timeout_s: float = 20.0) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def read_committed() -> Any:
    """`read_committed(broker, topic, partition=0)`: the values that librdkafka's readers of
    committed records get, from the beginning to the end as it is now."""
    from confluent_kafka import Consumer, TopicPartition

    def read(broker: Any, topic: str, partition: int = 0) -> list[bytes]:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "nobody",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(topic, partition, 0)])
        values = []
        with contextlib.closing(consumer):
            while True:
                message = consumer.poll(10)
                assert message is not None, "no end of the partition"
                if message.error() is not None:
                    return values
                values.append(message.value())

    return read


class WorkersProcess(BrokerProcess):
    """`headrace serve --workers N`: the supervisor, and the workers as its children."""

    def __init__(self, data: Path, workers: int, *options: str) -> None:
        super().__init__(data, "--workers", str(workers), *options)
        self.port = _free_run(workers + 1)

    def start(self, timeout_s: float = 45.0) -> "WorkersProcess":
        """It is as many starts as there are workers, and one more."""
        super().start(timeout_s)
        return self

    def pids(self) -> list[int]:
        """Of the workers that there are, by index."""
        assert self.process is not None
        found = {}
        for pid in _children(self.process.pid):
            with contextlib.suppress(OSError):  # it has ended just now
                *_, last = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
                index, _, count = last.partition("/")
                if count:
                    found[int(index)] = pid
        return [found[index] for index in sorted(found)]

    def kill_supervisor(self) -> None:
        """SIGKILL for it alone."""
        super().kill()

    def kill(self) -> None:
        """SIGKILL for all of them at once: what a lost machine leaves, but for its page cache."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)  # it starts nobody again
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        super().kill()


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:  # it has ended
        return []


def _free_run(length: int) -> int:
    """The first of so many ports in a row that nobody uses, below those that are given away."""
    while True:
        first = random.randrange(20_000, 32_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + length):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@pytest.fixture
def workers_process(tmp_path: Path) -> Iterator[Any]:
    """Makes `WorkersProcess`es and leaves none behind: `workers_process(count, *options)`."""
    made: list[WorkersProcess] = []

    def make(count: int, *options: str, data: Path | None = None) -> WorkersProcess:
        process = WorkersProcess(data or tmp_path / f"data{len(made)}", count, *options)
        made.append(process)
        return process.start()

    yield make
    for process in made:
        process.kill()
