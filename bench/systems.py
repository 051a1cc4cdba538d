"""What a system that is measured looks like to a workload, whichever it is.

A `System` (ours in `bench.ours`, the others in `bench.peers`) is started with a durability policy
and gives a `Running` one; that has a `Driver` for the protocol it speaks (`bench.raw_kafka`,
`raw_nats`, `raw_redis`). Workloads know these interfaces and nothing of any system. Drivers are
blocking sockets and bytes made beforehand: what is measured is the server.

"Log" is a topic with Apache Kafka and us, and then has partitions. NATS has streams and Redis has
keys, each of which is one order of records: there a log of N partitions is N of them.

Records are values without key and headers, of the characters of base64 (`values_of`), so that
drivers find the end of one in a stream of bytes without looking at each.
"""

import base64
import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from bench.processes import cpu_s, resident_mb

__all__ = [
    "DURABILITIES",
    "Driver",
    "Durability",
    "Reader",
    "Request",
    "Running",
    "System",
    "Writer",
    "values_of",
]

Durability = Literal["os", "fsync"]
DURABILITIES: tuple[Durability, ...] = ("os", "fsync")
"""What an acknowledgement promises: the page cache of the operating system, or the disk."""


class Request(NamedTuple):
    """Bytes that append `records` records, to be sent as often as one likes."""

    data: bytes
    records: int
    size_bytes: int
    """Of the values alone: what users came with."""
    answers: int
    """How many the system gives to it: Kafka one to a batch, others one to a record."""


class Writer(Protocol):
    """One connection that appends to one log."""

    socket: socket.socket

    def request(self, values: Sequence[bytes], partition: int = 0) -> Request:
        """One batch where the protocol has batches, else one command after the other."""
        ...

    def answered(self, data: bytes) -> int:
        """How many answers end in `data`, which has to be all that came since the last call.

        Raises RuntimeError when the system refused something.
        """
        ...

    def close(self) -> None: ...


class Reader(Protocol):
    """One connection that reads one partition of a log from its start, as fast as it is given.

    It keeps asking: when an answer has come far enough to know what follows, the next is on its
    way. Each reader is a consumer of its own; none commits.
    """

    socket: socket.socket

    def start(self) -> None:
        """Ask for the first records."""
        ...

    def receive(self) -> int:
        """Wait for one piece from the socket; how many records are whole with it."""
        ...

    def take(self) -> list[bytes]:
        """The values since the last call, in order, if the reader was made to keep them."""
        ...

    def close(self) -> None: ...


class Driver(Protocol):
    """How one running system is spoken to. `records_under_way_max` is what it takes at most from
    one connection before it refuses or slows down, 0 where there is no such number."""

    records_under_way_max: int

    def create(self, log: str, partitions: int = 1) -> None: ...

    def delete(self, log: str) -> None: ...

    def count(self, log: str) -> int:
        """How many records the log holds by what the system itself says, all partitions."""
        ...

    def writer(self, log: str) -> Writer: ...

    def reader(
        self, log: str, partition: int = 0, *, keeps_values: bool = False, tail: bool = False
    ) -> Reader:
        """From the first record, or with `tail` from what comes next."""
        ...


@dataclass(slots=True)
class Running:
    """A system that was started: where it is, what it is, what it uses."""

    name: str
    version: str
    durability: Durability
    policy: str
    """What this system does before it acknowledges, in words for the table."""
    bootstrap: str
    """HOST:PORT"""
    pids: list[int]
    """Its first processes; what they start is found. Empty where it was not started here."""
    driver: Driver
    family: Literal["kafka", "nats", "redis"]
    system: "System"
    """What started it, to start another one beside it."""
    ready_s: float = float("nan")
    """From starting it until it answered."""
    notes: list[str] = field(default_factory=list)

    def cpu_s(self) -> float:
        """Processor seconds that it has used so far, with its children; NaN without pids."""
        return cpu_s(self.pids)

    def resident_mb(self) -> float:
        """Resident memory now; NaN without pids."""
        return resident_mb(self.pids)


class System(Protocol):
    """Something that can be started and measured."""

    name: str

    def start(self, directory: str, durability: Durability) -> AbstractContextManager[Running]:
        """A new one on a free port with its data in a new directory inside `directory`.

        Raises `bench.peers.NotInstalled`, which says how to install it.
        """
        ...


def values_of(record_bytes: int, count: int = 1) -> list[bytes]:
    """Values of that size that do not compress to less than three quarters."""
    drawn = base64.b64encode(os.urandom(record_bytes))[:record_bytes]
    return [drawn] * count
