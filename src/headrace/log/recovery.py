"""Opening a partition: what the checkpoint says, then the batches behind its recovery point.

Everything before the recovery point was synced and is taken as the checkpoint tells it, by sizes
and names alone. Behind it every batch is read from the disk (the page cache of a killed process
is synced and dropped first, so what is recovered is what the disk holds) and must be valid: see
`segment`. At the first one that is not, two things can have happened, and they are never confused
where it matters:

- *Torn tail*: the crash came before the bytes were down. They were never acknowledged as durable,
  so they are cut off, and one warning says how many. This is what is left of the log when no
  valid batch follows. After a power cut the file system may also have kept a later page and not
  an earlier one; the lost page reads as zeros, or the file ends early, so a bad batch with a
  sector of zeros in it is torn too, and what follows it goes with it.
- *Damage*: bytes that were written have changed. A bad batch with a valid one of a higher offset
  behind it and no lost sector in it; a valid batch in the wrong place; or anything bad before the
  durable mark (`marks`), where a sync is known to have ended. It is refused with CorruptLogError:
  cutting there would take back records that were acknowledged.

What must not enter: the event loop; this is one blocking function, for a thread.
"""

import logging
import os
from dataclasses import dataclass
from typing import Final

from headrace.log import disk
from headrace.log.checkpoint import (
    CHECKPOINT_NAME,
    TEMPORARY_SUFFIX,
    Checkpoint,
    remove_if_there,
)
from headrace.log.contract import CorruptLogError
from headrace.log.indexing import load_index
from headrace.log.marks import Mark
from headrace.log.producers import ProducerTable
from headrace.log.scanning import (
    Scan,
    ends_early,
    find_batch,
    has_lost_sector,
    scan,
    stray_offset,
)
from headrace.log.segment import DELETED_LOG_SUFFIX, LOG_SUFFIX, Placed, Segment, reader_of
from headrace.log.swap import CLEANED_SUFFIX, finish_interrupted
from headrace.wire.batch import ATTRIBUTE_CONTROL, BatchHeader
from headrace.wire.errors import MalformedError
from headrace.wire.markers import Marker, read_marker

__all__ = ["NO_MARK", "Recovered", "recover"]

NO_MARK: Final = Mark(-1, 0)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovered:
    """A log as its disk holds it. `segments` is never empty; the last one is active."""

    start_offset: int
    segments: list[Segment]
    producers: ProducerTable
    scanned_bytes: int
    cut_bytes: int
    clean_until: int
    """See `swap.Journal`."""


def recover(
    directory: str, *, index_interval_bytes: int, now_ms: int, mark: Mark = NO_MARK
) -> Recovered:
    """Read the partition in `directory`, cut a torn tail. Raises CorruptLogError, OSError."""
    checkpoint = _read_checkpoint(os.path.join(directory, CHECKPOINT_NAME))
    checkpoint.producers.restored(now_ms)
    clean_until = finish_interrupted(directory, checkpoint).clean_until
    sizes, deleted = _segment_sizes(directory)
    known = _listed_segments(directory, checkpoint, sizes, deleted)
    segments = known + _newer_segments(directory, known, sizes)
    if not segments:
        segments = [Segment(directory, checkpoint.recovery_offset, 0)]
    if known:
        _load_index(known[-1], index_interval_bytes)
    tail = _Tail(segments[max(len(known) - 1, 0) :], sizes, checkpoint.producers, mark)
    tail.read(index_interval_bytes, now_ms)
    segments[max(len(known) - 1, 0) :] = tail.segments
    active = segments[-1]
    if (active.base_offset, active.size_bytes) < mark:
        raise CorruptLogError(
            f"{active.path} is damaged at position {active.size_bytes}: the log ends there, it "
            f"was synced up to position {mark.position} of segment {mark.base_offset}"
        )
    start_bytes = 0
    for segment in segments:
        segment.start_bytes = start_bytes
        start_bytes += segment.size_bytes
    start_offset = max(checkpoint.log_start_offset, segments[0].base_offset)
    transactions = checkpoint.producers.transactions
    transactions.readable_to(active.end_offset)
    transactions.forget_before(start_offset)
    return Recovered(
        start_offset,
        segments,
        checkpoint.producers,
        tail.scanned_bytes,
        tail.cut_bytes,
        clean_until,
    )


def _segment_sizes(directory: str) -> tuple[dict[int, int], set[int]]:
    """Base offset -> bytes on the disk, and the base offsets of segments that were deleted but
    still have a name; what an interrupted write left is removed."""
    sizes = {}
    deleted = set()
    for name in disk.list_names(directory):
        stem, suffix = os.path.splitext(name)
        path = os.path.join(directory, name)
        if suffix in (TEMPORARY_SUFFIX, CLEANED_SUFFIX):
            remove_if_there(path)
        elif suffix == DELETED_LOG_SUFFIX and stem.isdigit():
            deleted.add(int(stem))
        elif suffix == LOG_SUFFIX and stem.isdigit():
            sizes[int(stem)] = disk.size_of(path)
    return sizes, deleted


def _read_checkpoint(path: str) -> Checkpoint:
    try:
        return Checkpoint.decode(disk.read_file(path))
    except FileNotFoundError:
        return Checkpoint()
    except ValueError as error:
        _log.warning("%s is ignored, the whole log will be read: %s", path, error)
        return Checkpoint()


def _listed_segments(
    directory: str, checkpoint: Checkpoint, sizes: dict[int, int], deleted: set[int]
) -> list[Segment]:
    """The segments the checkpoint lists, each on the disk with at least the bytes it says; but
    leading ones may have been deleted since."""
    segments: list[Segment] = []
    for facts in checkpoint.segments:
        segment = Segment(directory, facts.base_offset, 0)
        size = sizes.get(facts.base_offset)
        if size is None and not segments and facts.base_offset in deleted:
            continue
        if size is None and facts.size_bytes:
            raise CorruptLogError(f"{segment.path} is missing; its checkpoint lists it")
        if size is not None and size < facts.size_bytes:
            raise CorruptLogError(
                f"{segment.path} is damaged at position {size}: it ends there, but "
                f"{facts.size_bytes} bytes of it were synced"
            )
        segment.restore(facts)
        segments.append(segment)
    listed = {facts.base_offset for facts in checkpoint.segments}
    for base_offset in deleted - listed:
        remove_if_there(Segment(directory, base_offset, 0).deleted_path)
    if segments:
        for base_offset in [base for base in sizes if base < segments[0].base_offset]:
            _remove(Segment(directory, base_offset, 0))
            del sizes[base_offset]
    return segments


def _newer_segments(directory: str, known: list[Segment], sizes: dict[int, int]) -> list[Segment]:
    """The segments begun after the checkpoint."""
    listed = {segment.base_offset for segment in known}
    found = [Segment(directory, base, 0) for base in sorted(sizes) if base not in listed]
    if known and found and found[0].base_offset < known[-1].end_offset:
        raise CorruptLogError(
            f"{found[0].path} is no segment of this log: its checkpoint does not list it, and "
            f"the log had reached offset {known[-1].end_offset}"
        )
    return found


def _load_index(segment: Segment, interval_bytes: int) -> None:
    segment.is_index_loaded = True
    segment.is_index_saved = False  # it goes on growing
    if segment.size_bytes == 0:
        return
    fd = disk.open_file(segment.path, os.O_RDONLY)
    try:
        segment.index = load_index(segment, reader_of(fd), interval_bytes)
    finally:
        disk.release(fd)
    segment.index_due_at = segment.size_bytes


class _Tail:
    """The segment with the recovery point and those after it."""

    def __init__(
        self, segments: list[Segment], sizes: dict[int, int], producers: ProducerTable, mark: Mark
    ) -> None:
        self.segments = segments
        self.scanned_bytes = 0
        self.cut_bytes = 0
        self._sizes = sizes
        self._producers = producers
        self._mark = mark

    def read(self, interval_bytes: int, now_ms: int) -> None:
        """Take in what is valid; end the log, in `segments` and on the disk, where it is not."""
        for at, segment in enumerate(self.segments):
            why = None
            if self._size(segment) > segment.size_bytes:
                why = self._scan(segment, interval_bytes, now_ms)
            following = self.segments[at + 1 :]
            if why is None and following and following[0].base_offset != segment.end_offset:
                why = f"the next segment starts at offset {following[0].base_offset}"
            if why is not None:
                self._cut(segment, why, following)
                del self.segments[at + 1 :]
                break
        if self.scanned_bytes:
            disk.fsync_directory(self.segments[0].directory)

    def _size(self, segment: Segment) -> int:
        return self._sizes.get(segment.base_offset, 0)

    def _scan(self, segment: Segment, interval_bytes: int, now_ms: int) -> str | None:
        """Why it stopped before the end of the file; None if it did not."""
        start = segment.size_bytes
        if segment.first_append_ms < 0:
            segment.first_append_ms = now_ms
        outcome = Scan()
        fd = disk.open_file(segment.path, os.O_RDWR)
        try:
            disk.fdatasync(fd)
            disk.drop_cached(fd)
            for header, placed in scan(fd, start, segment.end_offset, self._size(segment), outcome):
                segment.add(*placed, interval_bytes)
                self._producers.replay(header, now_ms, _marker_of(segment, fd, header, placed))
        finally:
            disk.release(fd)
        self.scanned_bytes += segment.size_bytes - start
        return outcome.why

    def _cut(self, segment: Segment, why: str, following: list[Segment]) -> None:
        """End the log where `segment` stops being valid, or refuse to."""
        position, size = segment.size_bytes, self._size(segment)
        fd = disk.open_file(segment.path, os.O_RDWR | os.O_CREAT)
        try:
            damage = self._damage(segment, fd, following)
            if damage:
                raise CorruptLogError(
                    f"{segment.path} is damaged at position {position} "
                    f"(offset {segment.end_offset}): {why}; {damage}"
                )
            disk.truncate(fd, position)
            disk.fdatasync(fd)
        finally:
            disk.release(fd)
        for later in following:
            _remove(later)
        disk.fsync_directory(segment.directory)
        self.cut_bytes = size - position + sum(self._size(later) for later in following)
        _log.warning(
            "%s: a torn tail of %d bytes was cut at position %d (offset %d): %s",
            *(segment.path, self.cut_bytes, position, segment.end_offset, why),
        )

    def _damage(self, segment: Segment, fd: int, following: list[Segment]) -> str | None:
        """Why this end of what is valid cannot be a torn tail; None if it can."""
        position, size = segment.size_bytes, self._size(segment)
        if (segment.base_offset, position) < self._mark:
            return f"the log was synced up to {self._mark.position} of {self._mark.base_offset}"
        if following and following[0].base_offset < segment.end_offset:
            return f"{following[0].path} overlaps it"
        if position == size:
            return None
        beyond = find_batch(fd, position, size, segment.end_offset)
        bad_until = size if beyond is None else beyond
        if has_lost_sector(fd, position, bad_until, segment.end_offset):
            return None
        stray = stray_offset(fd, position, size)
        if stray is not None:
            return f"it is the place of another batch, with offset {stray}"
        if beyond is not None:
            return f"a valid batch follows at position {beyond}"
        if ends_early(fd, position, size, segment.end_offset):
            return None
        return self._valid_start(following)

    def _valid_start(self, following: list[Segment]) -> str | None:
        for segment in following:
            size = self._size(segment)
            if size:
                fd = disk.open_file(segment.path, os.O_RDONLY)
                try:
                    first = next(scan(fd, 0, segment.base_offset, size, Scan()), None)
                finally:
                    disk.release(fd)
                if first is not None:
                    return f"{segment.path} holds valid batches"
        return None


def _marker_of(segment: Segment, fd: int, header: BatchHeader, placed: Placed) -> Marker | None:
    """The transaction marker, if the batch at this place is one. Raises CorruptLogError."""
    if not header.attributes & ATTRIBUTE_CONTROL:
        return None
    batch = disk.read(fd, header.size_bytes, placed.position)
    try:
        return read_marker(batch, header.producer_id, header.producer_epoch)
    except MalformedError as error:
        raise CorruptLogError(
            f"{segment.path} is damaged at position {placed.position} (offset "
            f"{header.base_offset}): the control batch there cannot be read: {error}"
        ) from error


def _remove(segment: Segment) -> None:
    remove_if_there(segment.path)
    remove_if_there(segment.index_path)
