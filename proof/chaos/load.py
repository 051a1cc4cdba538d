"""All who work during a round; then they end in order, and what they know is one statement."""

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from headrace.testing.history import History
from headrace.testing.raw_client import RawClient
from proof.appends.lists import STALL_S_MAX, Lists
from proof.chaos.crew import KINDS, SHARE, Crew, group_of
from proof.chaos.judge import Statement
from proof.chaos.keeper import Keeper, commit_offsets, fetch_offsets
from proof.chaos.movers import Movers
from proof.chaos.producers import FLUSH_S_MAX, QUIET, Producers
from proof.chaos.readers import Readers
from proof.chaos.site import Site
from proof.chaos.topics import MOVED, PARTITIONS, PLAIN
from proof.lag import shared_lag

__all__ = ["Load"]

PRODUCERS: Final = 3
MOVERS: Final = 2
LIST_WRITERS: Final = 2
LIST_PAUSE_S: Final = 0.05
LIST_READ_S: Final = 6.0
CATCH_UP_S_MAX: Final = 90.0
COPY_S_MAX: Final = 60.0
LOOK_S: Final = 0.1


class Load:
    """Made when the topics are there. `progress` may be asked at any time by one thread."""

    def __init__(self, site: Site, seed: str) -> None:
        self._site = site
        self.history = History()
        with RawClient("127.0.0.1", site.port) as client:
            for kind in KINDS:  # see `proof.churn`: why groups begin with an offset
                if kind != SHARE:
                    commit_offsets(client, group_of(kind), dict.fromkeys(range(PARTITIONS), 0))
        self.keeper = Keeper(site.port)
        self.producers = Producers(site.bootstrap, seed, PRODUCERS, self.history)
        self.readers = Readers(site.proxy.port, self.history)
        self.crews = [Crew(one, site.bootstrap, site.directory, seed) for one in KINDS]
        self.movers = Movers(site.bootstrap, MOVERS)
        self.lists = Lists(
            site.bootstrap,
            int.from_bytes(seed.encode()[-6:]),
            pause_s=LIST_PAUSE_S,
            read_again_s=LIST_READ_S,
            more={"logger": QUIET},
            begins_anew=True,
        )
        self._list_threads = [
            *(self.lists.start(self.lists.transact, f"list-{n}") for n in range(LIST_WRITERS)),
            self.lists.start(self.lists.append, "list-plain"),
            self.lists.start(self.lists.read, "list-reader"),
        ]
        self._failures: list[str] = []

    def progress(self) -> list[int]:
        """Counts that grow as long as everybody is served."""
        return [*self.producers.acked_counts, self.keeper.book.confirmed]

    def change_groups(self) -> None:
        for crew in self.crews:
            crew.change()

    def stop(self) -> None:
        """Producers end when all is acknowledged; groups when they have read and committed it."""
        self.producers.stopping.set()
        self.lists.stopping.set()
        self.keeper.stopping.set()
        self._join([*self.producers.threads, self.keeper.thread], FLUSH_S_MAX + 10)
        self._join(self._list_threads, STALL_S_MAX + 10)
        self.behind = self._wait_for_groups()
        self.readers.stopping.set()
        self.movers.stop()
        self.groups = {crew.name: crew.finish() for crew in self.crews}
        self._join([*self.readers.threads, *self.movers.threads], STALL_S_MAX)

    def statement(self) -> Statement:
        """When all have stopped. Raises OSError, TimeoutError when the log cannot be read."""
        plain = _read_all(self._site.port)
        ends = {partition: len(records) for partition, records in plain.items()}
        return Statement(
            plain=plain,
            copies=_read_copies(self._site.bootstrap, ends),
            history=self.history,
            acked_s=self.producers.acked_s,
            groups=self.groups,
            behind=self.behind,
            lists=self.lists.evidence(),
            failures=[
                *self._failures,
                *self.producers.failures,
                *self.readers.failures,
                *self.keeper.failures,
                *self.keeper.book.problems,
                *self.movers.failures,
                *self.lists.failures,
            ],
        )

    def _wait_for_groups(self) -> dict[str, int]:
        deadline = time.monotonic() + CATCH_UP_S_MAX
        names = [*(crew.name for crew in self.crews if not crew.is_share), Movers.GROUP]
        shared = [crew.name for crew in self.crews if crew.is_share]
        behind = dict.fromkeys([*names, *shared], 1)
        while any(behind.values()) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            with contextlib.suppress(OSError), RawClient("127.0.0.1", self._site.port) as client:
                ends = {p: client.fetch(PLAIN, p, 0).high_watermark for p in range(PARTITIONS)}
                behind = {name: _behind(client, name, ends) for name in names}
                where = f"127.0.0.1:{self._site.port}"
                behind |= {name: shared_lag(where, name, ends) for name in shared}
        return behind

    def _join(self, threads: Iterable[threading.Thread], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._failures.append(f"{thread.name} does not end")


def _behind(client: RawClient, group: str, ends: Mapping[int, int]) -> int:
    known = fetch_offsets(client, group, list(ends)) or {}
    return sum(max(0, end - max(0, known.get(partition, 0))) for partition, end in ends.items())


def _read_all(port: int) -> dict[int, list[tuple[int, int]]]:
    with RawClient("127.0.0.1", port) as client:
        return {
            partition: [(r.offset, int(r.value or b"0")) for r in client.read_all(PLAIN, partition)]
            for partition in range(PARTITIONS)
        }


def _read_copies(bootstrap: str, partitions: Iterable[int]) -> dict[int, list[int]]:
    """Raises TimeoutError."""
    copies: dict[int, list[int]] = {partition: [] for partition in partitions}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    ended: set[int] = set()
    deadline = time.monotonic() + COPY_S_MAX
    try:
        consumer.assign([TopicPartition(MOVED, partition, 0) for partition in copies])
        while len(ended) < len(copies):
            if time.monotonic() > deadline:
                raise TimeoutError("the copy could not be read to its end")
            for message in consumer.consume(1000, 0.1):
                partition = int(message.partition() or 0)
                if message.error() is None:
                    copies[partition].append(int(message.value() or b"0"))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(partition)
    finally:
        consumer.close()
    return copies
