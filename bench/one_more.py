"""One more member joins a group that reads: when it has its first record, and how long the others
have none meanwhile. The same with each protocol of librdkafka, whose defaults are left alone.

One of the members that are there is busy: it takes a while over each record, as programs do. What
it makes others wait for is what is measured; its own pauses are not.
"""

import contextlib
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.report import Row
from bench.server import serving

__all__ = ["one_more_member"]

PROTOCOLS: Final = {
    "classic, eager": {"partition.assignment.strategy": "range"},
    "classic, cooperative": {"partition.assignment.strategy": "cooperative-sticky"},
    "next-generation": {"group.protocol": "consumer"},
}
TOPIC: Final = "bench-one-more"
PARTITIONS: Final = 12
MEMBERS: Final = 3
"""Beside the busy one."""
BUSY_S: Final = 0.25
ROUND_S: Final = 0.01
"""A record comes into every partition so often."""
STEADY_S: Final = 3.0
"""Looked at before the member comes, for what is a pause anyway."""
AFTER_S: Final = 1.0
"""Looked at after its first record: some pauses end with a rebalance."""
WAIT_S_MAX: Final = 60.0
ROUNDS_MAX: Final = 5


class Measured(NamedTuple):
    first_record_s: float
    paused_s: float
    """The longest time without a record, of the member that had the longest."""
    steady_s: float
    """The same before the new member came."""


class Rounds(NamedTuple):
    median: Measured
    paused_least_s: float
    """In the best round: what the machine did beside is not in it, a stop for all is."""


def one_more_member(directory: str, rounds: int, peer: str | None, peer_name: str) -> Iterator[Row]:
    with serving(directory, "fsync") as ours:
        for protocol, options in PROTOCOLS.items():
            here = _rounds(ours.bootstrap, options, rounds)
            there = _rounds(peer, options, rounds) if peer else None
            first = Row(
                f"one more member ({protocol}): its first record after",
                "fsync",
                here.median.first_record_s,
                "s",
            )
            paused = Row(
                f"one more member ({protocol}): the others pause for",
                "fsync",
                here.median.paused_s * 1000,
                "ms",
                aim="as ever" if options.get("group.protocol") else "",
                detail=_details("", here),
            )
            if there is not None:
                first.beside(peer_name, there.median.first_record_s)
                paused.beside(peer_name, there.median.paused_s * 1000)
                paused.detail |= _details(" there", there)
            yield from (first, paused)


def _details(where: str, rounds: Rounds) -> dict[str, float]:
    return {
        f"at best{where}, ms": rounds.paused_least_s * 1000,
        f"otherwise{where}, ms": rounds.median.steady_s * 1000,
    }


def _rounds(bootstrap: str, options: dict[str, str], rounds: int) -> Rounds:
    with _stream(bootstrap):
        measured = [
            _round(bootstrap, f"bench-{time.time_ns()}-{number}", options)
            for number in range(min(rounds, ROUNDS_MAX))
        ]
    median = Measured(*(statistics.median(values) for values in zip(*measured, strict=True)))
    return Rounds(median, min(one.paused_s for one in measured))


def _round(bootstrap: str, group: str, options: dict[str, str]) -> Measured:
    with contextlib.ExitStack() as stack:
        members = [
            stack.enter_context(_Member(bootstrap, group, options, busy_s))
            for busy_s in (0.0,) * MEMBERS + (BUSY_S,)
        ]
        quota = PARTITIONS // len(members)
        _wait(lambda: all(one.partitions == quota for one in members), "a settled group")
        steady_from = time.perf_counter() + 1.0  # when what was behind has been read
        time.sleep(1.0 + STEADY_S)
        started = time.perf_counter()
        new = stack.enter_context(_Member(bootstrap, group, options))
        _wait(lambda: bool(new.seen), "the new member's first record")
        time.sleep(AFTER_S)
        ended = time.perf_counter()
        return Measured(
            new.seen[0] - started,
            max(one.longest_gap(started, ended) for one in members[:MEMBERS]),
            max(one.longest_gap(steady_from, started) for one in members[:MEMBERS]),
        )


class _Member:
    """Reads in a thread of its own and notes when records came."""

    def __init__(
        self, bootstrap: str, group: str, options: dict[str, str], busy_s: float = 0.0
    ) -> None:
        self.seen: list[float] = []
        self.partitions = 0
        """How many it has."""
        self._busy_s = busy_s
        self._config = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "latest",
            "log_level": 3,
            **options,
        }
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "_Member":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(WAIT_S_MAX)

    def longest_gap(self, start: float, end: float) -> float:
        """Without a record, between these two moments."""
        times = [start, *(at for at in self.seen if start < at < end), end]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def _read(self) -> None:
        consumer = Consumer(self._config)
        consumer.subscribe([TOPIC])
        while not self._stopping.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                self.seen.append(time.perf_counter())
                time.sleep(self._busy_s)
            self.partitions = len(consumer.assignment())
        consumer.close()


@contextlib.contextmanager
def _stream(bootstrap: str) -> Iterator[None]:
    """A topic that is written to all the while."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
    stopping = threading.Event()

    def write() -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 3})
        while not stopping.wait(ROUND_S):
            for partition in range(PARTITIONS):
                producer.produce(TOPIC, b"x" * 100, partition=partition)
            producer.poll(0)
        producer.flush(30)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(WAIT_S_MAX)
        admin.delete_topics([TOPIC])[TOPIC].result(30)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {what} after {WAIT_S_MAX:g} s")
        time.sleep(0.001)
