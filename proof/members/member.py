"""The life of one consumer: open, poll and commit until told to stop, close. In its own thread.

It writes down what it was given before it commits it, so that a member that is killed in between
reads again and loses nothing.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from proof.journal import Journal

__all__ = ["COMMIT_S", "HEARTBEAT_MS", "POLL_RECORDS_MAX", "POLL_S", "SESSION_MS", "Member", "Work"]

POLL_S = 0.1
POLL_RECORDS_MAX = 500
COMMIT_S = 0.2
SESSION_MS = 6_000
"""The least that Kafka allows: members that are killed are missed for so long."""
HEARTBEAT_MS = 500
REOPEN_S = 0.5
"""Between a client that gave up and the next one."""


@dataclass(frozen=True)
class Work:
    """What all members of a process have in common."""

    bootstrap: str
    topic: str
    group: str
    journal: Journal
    options: dict[str, Any]


class Member:
    """A subclass has `open`, `poll`, `commit` and `close` of its library.

    `positions` are the offsets after what was written down, of the partitions it has now.
    """

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.work = work
        self.journal = work.journal
        self.positions: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        """The positions of the last commit that was sent."""
        self.owned: set[int] = set()
        self.lock = threading.RLock()
        """Of the three above: some clients call back from a thread of their own."""
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()

    # What a library brings

    def open(self) -> None:
        raise NotImplementedError

    def poll(self) -> Iterable[tuple[int, int, bytes]]:
        """At most POLL_RECORDS_MAX records, as (partition, offset, value)."""
        raise NotImplementedError

    def commit(self, offsets: dict[int, int]) -> None:
        """Commit, now or in the background."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    # What it tells

    def assigned(self, partitions: Iterable[int]) -> None:
        with self.lock:
            given = sorted(partitions)
            self.journal.write(self.name, "assigned", partitions=given)
            self.owned.update(given)

    def revoked(self, partitions: Iterable[int]) -> None:
        with self.lock:
            gone = sorted(partitions)
            if gone:
                self.journal.write(self.name, "revoked", partitions=gone)
            for partition in gone:
                self.owned.discard(partition)
                self.positions.pop(partition, None)
                self.committed.pop(partition, None)

    def uncommitted(self) -> dict[int, int]:
        """Where it stands, as far as it has not told the group."""
        with self.lock:
            return {at: n for at, n in self.positions.items() if self.committed.get(at) != n}

    def failed(self, where: str, error: BaseException) -> None:
        self.journal.failed(self.name, where, type(error).__name__, error)

    # Its life

    def _live(self) -> None:
        self.journal.write(self.name, "started")
        while not self.stopping.is_set():
            try:
                self._run()
            except Exception as error:  # noqa: BLE001 - written down and judged
                self.failed("poll", error)
                self.revoked(list(self.owned))
                self.stopping.wait(REOPEN_S)
        self.journal.write(self.name, "stopped")

    def _run(self) -> None:
        self.open()
        try:
            due = 0.0
            while not self.stopping.is_set():
                self._take(self.poll())
                if time.monotonic() >= due:
                    self.commit_what_is_new()
                    due = time.monotonic() + COMMIT_S
        finally:
            try:
                self.close()
            except Exception as error:  # noqa: BLE001 - written down and judged
                self.failed("close", error)

    def _take(self, records: Iterable[tuple[int, int, bytes]]) -> None:
        taken = list(records)
        with self.lock:
            self.journal.read(self.name, taken)
            for partition, offset, _ in taken:
                if partition in self.owned:
                    self.positions[partition] = offset + 1

    def commit_what_is_new(self) -> None:
        with self.lock:
            new = self.uncommitted()
            self.committed.update(new)
        if new:
            self.commit(new)

    def not_committed(self, offsets: dict[int, int]) -> None:
        """A commit failed: it is tried again with the next."""
        with self.lock:
            for partition, offset in offsets.items():
                if self.committed.get(partition) == offset:
                    del self.committed[partition]
