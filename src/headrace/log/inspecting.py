"""Every byte of a partition that nobody has open: what is there, and exactly what is damaged.

Reads only. A start reads what a crash may have torn and trusts the rest; this reads everything:
headers, CRCs, the chain of offsets through all segments, the records of every batch, indexes,
the checkpoint's list, the durable mark. Where bytes are bad it looks for the next valid batch and
goes on there, so what is found bad is a range of bytes and of offsets, and no more.

What a start deals with by itself (a torn tail, an interrupted compaction, a missing checkpoint) is
noted, it is no damage. Blocks on the disk. What must not enter: mending (`repairing`), topics'
names.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from headrace.log import disk
from headrace.log.checkpoint import CHECKPOINT_NAME, Checkpoint
from headrace.log.index import SparseIndex
from headrace.log.marks import Mark
from headrace.log.scanning import (
    Scan,
    find_batch,
    find_chain,
    has_lost_sector,
    scan_batches,
    stray_offset,
)
from headrace.log.segment import DELETED_LOG_SUFFIX, LOG_SUFFIX, Segment, SegmentFacts
from headrace.log.swap import CLEANED_SUFFIX, cleaned_path, list_result, read_journal
from headrace.wire.batch import BatchHeader
from headrace.wire.errors import MalformedError
from headrace.wire.filtering import record_keys
from headrace.wire.records import open_records

__all__ = ["Damage", "PartitionFiles", "PartitionReport", "Run", "inspect", "read_batches"]

OPENED_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of one batch, decompressed; records of a larger one are taken to be unreadable."""


class Damage(NamedTuple):
    """Bytes [position, end) of a segment are not what they should be. Where they were cut off it
    is no bytes."""

    path: str
    position: int
    end: int
    first_offset: int
    next_offset: int | None
    """Where the log goes on; None when nothing follows and nothing tells."""
    why: str
    can_be_cut: bool = True


class Run(NamedTuple):
    """Valid batches: bytes [position, end) of a segment are offsets [first_offset, next_offset)."""

    position: int
    end: int
    first_offset: int
    next_offset: int


@dataclass(slots=True)
class PartitionReport:
    """What `inspect` found."""

    directory: str
    start_offset: int = 0
    end_offset: int = 0
    segments: int = 0
    batches: int = 0
    records: int = 0
    size_bytes: int = 0
    damages: list[Damage] = field(default_factory=list)
    bad_indexes: dict[str, str] = field(default_factory=dict)
    """Path -> what is wrong with it. They can be made anew."""
    notes: list[str] = field(default_factory=list)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    """Segment's path -> what is valid in it, in order; of damaged segments only."""

    @property
    def is_sound(self) -> bool:
        return not self.damages and not self.bad_indexes


class PartitionFiles:
    """The segments of a partition as the next start will find them."""

    def __init__(self, directory: str) -> None:
        """Raises OSError."""
        self.directory = directory
        self.notes: list[str] = []
        self.checkpoint = self._read_checkpoint()
        self.paths = {
            int(name.removesuffix(LOG_SUFFIX)): os.path.join(directory, name)
            for name in sorted(disk.list_names(directory))
            if name.endswith(LOG_SUFFIX) and name.removesuffix(LOG_SUFFIX).isdigit()
        }
        """Base offset -> file."""
        self._finish_swap()
        listed = self.checkpoint.segments
        if listed:
            for base in [base for base in self.paths if base < listed[0].base_offset]:
                self.notes.append(f"{self.paths.pop(base)} was deleted, the next start removes it")

    def missing(self) -> list[SegmentFacts]:
        """Segments that the checkpoint lists and that are not there, nor deleted."""
        deleted = {name for name in disk.list_names(self.directory) if DELETED_LOG_SUFFIX in name}
        return [
            facts
            for facts in self.checkpoint.segments
            if facts.base_offset not in self.paths
            and facts.size_bytes
            and f"{facts.base_offset:020d}{DELETED_LOG_SUFFIX}" not in deleted
        ]

    def _read_checkpoint(self) -> Checkpoint:
        path = os.path.join(self.directory, CHECKPOINT_NAME)
        try:
            return Checkpoint.decode(disk.read_file(path))
        except FileNotFoundError:
            self.notes.append("there is no checkpoint: the next start reads the whole log")
        except ValueError as error:
            self.notes.append(f"{path}: {error}: the next start reads the whole log")
        return Checkpoint()

    def _finish_swap(self) -> None:
        """Look at the files as if the interrupted swap, if there is one, were done."""
        swap = read_journal(self.directory).swap
        if swap is None:
            return
        self.notes.append("a compaction was interrupted: the next start finishes it")
        new_path = cleaned_path(Segment(self.directory, swap.sources[0], 0))
        if disk.is_there(new_path):
            self.paths[swap.sources[0]] = new_path
        for base in swap.sources[1:]:
            self.paths.pop(base, None)
        list_result(self.checkpoint, swap)


def inspect(directory: str, mark: Mark) -> PartitionReport:
    """Read the whole partition. Raises OSError."""
    files = PartitionFiles(directory)
    report = PartitionReport(directory, notes=files.notes)
    missing = {facts.base_offset: facts for facts in files.missing()}
    bases = sorted(files.paths.keys() | missing.keys())
    report.segments = len(files.paths)
    first_base = bases[0] if bases else files.checkpoint.recovery_offset
    report.start_offset = max(files.checkpoint.log_start_offset, first_base)
    report.end_offset = first_base
    producers: dict[int, int] = {}
    for at, base in enumerate(bases):
        following = bases[at + 1] if at + 1 < len(bases) else None
        if base in missing:
            path = Segment(directory, base, 0).path
            report.end_offset = missing[base].end_offset
            report.runs[path] = []
            report.damages.append(
                Damage(path, 0, 0, base, missing[base].end_offset, "the file is missing")
            )
            continue
        look = _Look(report, files, base, following, mark, producers)
        look.read()
    if bases and mark.base_offset > bases[-1] and mark.position:
        path = Segment(directory, mark.base_offset, 0).path
        why = f"the file is missing, {mark.position} bytes of it were synced"
        report.damages.append(Damage(path, 0, 0, report.end_offset, None, why))
        report.runs[path] = []
    _check_producers(report, files.checkpoint, producers)
    return report


def read_batches(path: str, base_offset: int) -> Iterator[tuple[BatchHeader, int, bytes]]:
    """(header, position, bytes) of the valid batches of a segment, up to the first bytes that are
    none. Raises OSError."""
    fd = disk.open_file(path, os.O_RDONLY)
    try:
        size = disk.size_of(fd)
        for header, placed, batch in scan_batches(fd, 0, base_offset, size, Scan()):
            yield header, placed.position, bytes(batch)
    finally:
        disk.release(fd)


class _Look:
    """Reading one segment into the report."""

    def __init__(
        self,
        report: PartitionReport,
        files: PartitionFiles,
        base: int,
        following: int | None,
        mark: Mark,
        producers: dict[int, int],
    ) -> None:
        self._report = report
        self._base = base
        self._path = files.paths[base]
        self._following = following
        """Where the next segment starts."""
        self._known_end = files.checkpoint.recovery_offset
        """The log had reached this offset at least."""
        self._producers = producers
        listed = [facts for facts in files.checkpoint.segments if facts.base_offset == base]
        self._synced_bytes = max(
            listed[0].size_bytes if listed else 0,
            mark.position if mark.base_offset == base else 0,
        )
        self._runs: list[Run] = []
        self._damages: list[Damage] = []
        self._places: dict[int, tuple[int, int]] = {}
        """Position -> offset there, greatest timestamp before."""

    def read(self) -> None:
        fd = disk.open_file(self._path, os.O_RDONLY)
        try:
            size = disk.size_of(fd)
            self._report.size_bytes += size
            end_offset = self._read(fd, size)
        finally:
            disk.release(fd)
        following = self._following
        if following is not None and end_offset < following:
            why = f"the next segment starts at offset {following}"
            self._damaged(size, size, end_offset, following, why)
        elif following is not None and end_offset > following:
            why = f"the next segment starts at offset {following} already"
            damage = Damage(self._path, size, size, following, end_offset, why, can_be_cut=False)
            self._damages.append(damage)
        self._report.end_offset = max(end_offset, self._report.end_offset)
        if self._damages:
            self._report.damages += self._damages
            self._report.runs[self._path] = self._runs
        else:
            self._check_index(size)

    def _read(self, fd: int, size: int) -> int:
        """Returns the offset after the last valid batch."""
        position, offset, newest = 0, self._base, -(1 << 63)
        while True:
            outcome = Scan()
            for header, placed, batch in scan_batches(fd, position, offset, size, outcome):
                self._places[placed.position] = (placed.base_offset, newest)
                newest = max(newest, placed.max_timestamp)
                self._take(header, placed.position, placed.end, batch)
                position, offset = placed.end, placed.next_offset
            if outcome.why is None:
                if self._following is not None:
                    return offset
                if position < self._synced_bytes or offset < self._known_end:
                    why = "the log ends here, but more of it was synced"
                    self._damaged(position, position, offset, self._goes_on_at(offset), why)
                return self._goes_on_at(offset) or offset
            beyond = _next_valid(fd, position, size, offset)
            next_offset = None if beyond is None else stray_offset(fd, beyond, size)
            if (
                beyond is None
                or next_offset is None
                or self._is_too_far(next_offset)
                or self._is_torn(fd, position, beyond, offset)
            ):
                self._end(position, size, offset, outcome.why)
                return self._goes_on_at(offset) or offset
            self._damaged(position, beyond, offset, next_offset, outcome.why)
            position, offset = beyond, next_offset

    def _goes_on_at(self, offset: int) -> int | None:
        """Where the log goes on after what ends at `offset`; None if that is not known."""
        if self._following is not None:
            return self._following
        return self._known_end if self._known_end > offset else None

    def _is_too_far(self, offset: int) -> bool:
        return self._following is not None and offset >= self._following

    def _is_torn(self, fd: int, position: int, beyond: int, offset: int) -> bool:
        """What follows was not synced either, and goes with it: see `recovery`."""
        return (
            self._following is None
            and position >= self._synced_bytes
            and has_lost_sector(fd, position, beyond, offset)
        )

    def _end(self, position: int, size: int, offset: int, why: str) -> None:
        """Nothing valid follows in this segment."""
        if self._following is None and position >= self._synced_bytes:
            self._report.notes.append(
                f"{self._path}: the last {size - position} bytes are torn (offset {offset}); the "
                "next start cuts them off"
            )
        else:
            self._damaged(position, size, offset, self._goes_on_at(offset), why)

    def _take(self, header: BatchHeader, position: int, end: int, batch: memoryview) -> None:
        self._report.batches += 1
        self._report.records += header.records_count
        if header.producer_id >= 0:
            self._producers[header.producer_id] = header.last_offset
        try:
            _, data = open_records(batch, OPENED_BYTES_MAX)
            record_keys(header, data)
        except MalformedError as error:
            why = f"the records of the batch cannot be read: {error}"
            self._damaged(position, end, header.base_offset, header.next_offset, why)
            return
        last = self._runs[-1] if self._runs else None
        if last is not None and last.end == position:
            self._runs[-1] = last._replace(end=end, next_offset=header.next_offset)
        else:
            self._runs.append(Run(position, end, header.base_offset, header.next_offset))

    def _damaged(
        self, position: int, end: int, first: int, next_offset: int | None, why: str
    ) -> None:
        self._damages.append(Damage(self._path, position, end, first, next_offset, why))

    def _check_index(self, size: int) -> None:
        segment = Segment(self._report.directory, self._base, 0)
        if self._path.endswith(CLEANED_SUFFIX):
            return  # it has none yet
        try:
            index, covered_bytes = SparseIndex.decode(
                disk.read_file(segment.index_path), self._base
            )
        except FileNotFoundError:
            return  # made when it is needed
        except ValueError as error:
            self._report.bad_indexes[segment.index_path] = str(error)
            return
        for offset, position, timestamp_ms in index.entries():
            if position < min(covered_bytes, size) and (
                self._places.get(position) != (offset, timestamp_ms)
            ):
                self._report.bad_indexes[segment.index_path] = (
                    f"it says that offset {offset} is at position {position}"
                )
                return


def _next_valid(fd: int, position: int, size: int, offset: int) -> int | None:
    """Where after the bad bytes at `position` the next valid batch starts."""
    beyond = find_batch(fd, position, size, offset)
    nearer = find_chain(fd, position, size if beyond is None else beyond, offset)
    return beyond if nearer is None else nearer


def _check_producers(
    report: PartitionReport, checkpoint: Checkpoint, producers: dict[int, int]
) -> None:
    """The snapshot of producers must not speak of batches that are not there."""
    for producer_id, last_offset in checkpoint.producers.last_offsets().items():
        is_kept = report.start_offset <= last_offset < checkpoint.recovery_offset
        if is_kept and producers.get(producer_id, -1) < last_offset and not report.damages:
            report.notes.append(
                f"the checkpoint says that producer {producer_id} wrote up to offset "
                f"{last_offset}, the log up to {producers.get(producer_id)}"
            )
