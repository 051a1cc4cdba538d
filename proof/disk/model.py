"""What one partition must hold, by what it was told and what it answered.

Independent of the log's own tables: a list of batches in the order of their offsets, and plain
rules for what follows from it. `settle` takes over what a restart found, once that was judged.
What must not enter: the disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from headrace.wire.markers import Marker

__all__ = ["Entry", "Expected", "Partition", "Producer", "Window"]

WINDOW: Final = 5
"""Batches by which a producer's retries are known."""


class Window(NamedTuple):
    """A batch that a retry may be of."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int


class Entry(NamedTuple):
    """One batch: offsets [base, end)."""

    base: int
    end: int
    data: bytes
    """As the log was to write it."""
    records: Sequence[tuple[bytes | None, bytes | None]] = ()
    producer_id: int = -1
    epoch: int = -1
    sequence: int = -1
    is_transactional: bool = False
    marker: Marker | None = None


@dataclass(slots=True)
class Producer:
    epoch: int
    coordinator_epoch: int = -1
    window: list[Window] = field(default_factory=list)

    @property
    def next_sequence(self) -> int:
        return self.window[-1].last_sequence + 1 if self.window else 0


@dataclass(slots=True)
class Expected:
    """What follows from a list of batches."""

    producers: dict[int, Producer] = field(default_factory=dict)
    open: dict[int, int] = field(default_factory=dict)
    """Producer -> first offset of its transaction."""
    aborted: list[tuple[int, int, int]] = field(default_factory=list)
    """(producer, first offset, marker's offset)."""
    unread: set[int] = field(default_factory=set)
    """Bases of batches that a reader of committed data is not given."""

    def take(self, entry: Entry) -> None:
        if entry.producer_id < 0:
            return
        producer = self.producers.setdefault(entry.producer_id, Producer(entry.epoch))
        if producer.epoch != entry.epoch:
            producer.epoch = entry.epoch
            producer.window.clear()
        if entry.marker is not None:
            producer.coordinator_epoch = entry.marker.coordinator_epoch
            first = self.open.pop(entry.producer_id, None)
            if first is not None and not entry.marker.commit:
                self.aborted.append((entry.producer_id, first, entry.base))
            return
        last = entry.sequence + entry.end - entry.base - 1
        producer.window.append(Window(entry.sequence, last, entry.base, entry.end - 1))
        del producer.window[:-WINDOW]
        if entry.is_transactional:
            self.open.setdefault(entry.producer_id, entry.base)

    def is_aborted(self, entry: Entry) -> bool:
        """Whether the batch is of a transaction that was aborted, or is open."""
        if not entry.is_transactional or entry.marker is not None:
            return False
        pid = entry.producer_id
        if pid in self.open and entry.base >= self.open[pid]:
            return True
        return any(
            pid == producer_id and first <= entry.base < marker
            for producer_id, first, marker in self.aborted
        )


@dataclass(slots=True)
class Partition:
    """One partition's life so far."""

    number: int
    is_compacted: bool = False
    exists: bool = False
    """It was promised that it does."""
    entries: list[Entry] = field(default_factory=list)
    """In the order of offsets, from 0 on, without a gap."""
    ghosts: list[Entry] = field(default_factory=list)
    """Refused by the log: one may be found at its offset all the same, if nothing else is."""
    kept_to: int = 0
    """What is before this offset was acknowledged, or seen by a reader."""
    start_min: int = 0
    start_max: int = 0
    """Between these the log starts; equal while nothing moves the start."""

    @property
    def end(self) -> int:
        return self.entries[-1].end if self.entries else 0

    def copy(self) -> "Partition":
        return replace(self, entries=list(self.entries), ghosts=list(self.ghosts))

    def until(self, end: int) -> list[Entry]:
        """The batches before `end`."""
        return [entry for entry in self.entries if entry.end <= end]

    def expected(self, end: int) -> Expected:
        expected = Expected()
        for entry in self.until(end):
            expected.take(entry)
        return expected

    def settle(self, start: int, end: int) -> list[Entry]:
        """The log was found to be [start, end); returns the batches that it lost."""
        lost = [entry for entry in self.entries if entry.end > end]
        self.entries = self.until(end)
        ghost = [entry for entry in self.ghosts if (entry.base, entry.end) == (self.end, end)]
        self.entries += ghost[:1]
        self.ghosts.clear()
        self.kept_to = end
        self.start_min = self.start_max = start
        return lost
