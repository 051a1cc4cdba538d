"""One segment: a file of record batches, and what is known of it in memory.

The file format. `<base offset, 20 digits>.log` holds record batches v2 (`wire.batch` has the
layout) end to end, from position 0, exactly as they go over the wire:

    [batch][batch]...[batch][zeros or torn bytes, after a crash only]

- The first batch's base offset is the file's name; every other batch's is the one before it plus
  that one's `last_offset_delta` + 1. The next segment starts where this one ends.
- A batch is valid when its magic is 2, its length at least 49, its base offset the expected one,
  its leader epoch 0 and its CRC-32C right. Offsets inside the batch are identity: a block of an
  older or another batch at this place is seen as damage.
- There is no header, no padding and no trailer, so a fetch is a range of the file. Zeros are not
  a batch (magic 0), so a file that grew before its bytes came ends at its last batch.
- Bytes are written once, in order, behind the last batch; sealed segments never change again.
  Compaction writes new files that take their place (`swap`). What it removed is a batch without
  records, so the chain of offsets has no gap there either.
  Damage can be told from a torn write: see `recovery`.

What must not enter: deciding where to write, roll or delete (`local`, `retention`).
"""

import os
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from headrace.log import disk
from headrace.log.files import OpenFile
from headrace.log.index import NO_TIMESTAMP, SparseIndex
from headrace.wire.batch import HEADER_BYTES, LENGTH_OVERHEAD_BYTES

__all__ = [
    "DELETED_LOG_SUFFIX",
    "DELETED_SUFFIX",
    "INDEX_SUFFIX",
    "LEADER_EPOCH",
    "LOG_SUFFIX",
    "BadBatchError",
    "Placed",
    "ReadAt",
    "Segment",
    "SegmentFacts",
    "Tail",
    "cached_reader_of",
    "reader_of",
    "walk",
]

LOG_SUFFIX: Final = ".log"
INDEX_SUFFIX: Final = ".index"
DELETED_SUFFIX: Final = ".deleted"
DELETED_LOG_SUFFIX: Final = ".del"
"""As long as LOG_SUFFIX, so that a segment can be renamed in a directory that cannot grow."""

LEADER_EPOCH: Final = 0
"""Of every batch, since a log has one leader for ever; another one is damage, which would make
clients believe that the log was cut."""

WALK_BYTES: Final = 16 * 1024
"""How much is read at once to hop from header to header."""

_PLACE: Final = struct.Struct(">qi4xb6xi8xq")
"""Of a batch header: base offset, length, magic, last offset delta, max timestamp."""

ReadAt = Callable[[int, int], bytes]
"""(size in bytes, position) -> bytes of one file."""


class BadBatchError(Exception):
    """No valid header at `position`: `why`."""

    def __init__(self, position: int, why: str) -> None:
        super().__init__(f"at position {position}: {why}")
        self.position = position
        self.why = why


class Placed(NamedTuple):
    """Where a batch lies: offsets [base_offset, next_offset), bytes [position, end)."""

    position: int
    end: int
    base_offset: int
    next_offset: int
    max_timestamp: int


class SegmentFacts(NamedTuple):
    """What a checkpoint keeps of a segment, so that opening a log reads one file."""

    base_offset: int
    end_offset: int
    size_bytes: int
    max_timestamp: int
    first_append_ms: int


class Segment:
    """A segment of an open log.

    `file` is open while the segment is written or read lately; `index` is loaded while the
    segment is the active one, or was not saved yet, or was read lately.
    """

    __slots__ = (
        "base_offset",
        "checked",
        "directory",
        "dropped",
        "end_offset",
        "file",
        "first_append_ms",
        "index",
        "index_due_at",
        "is_index_loaded",
        "is_index_saved",
        "known_from",
        "max_timestamp",
        "size_bytes",
        "start_bytes",
    )

    def __init__(self, directory: str, base_offset: int, start_bytes: int) -> None:
        self.directory = directory
        self.base_offset = base_offset
        self.end_offset = base_offset
        self.size_bytes = 0
        self.start_bytes = start_bytes
        """Where the segment begins in the log's count of bytes; only differences mean anything."""
        self.max_timestamp = NO_TIMESTAMP
        self.first_append_ms = -1
        """When its first batch was written here (wall clock); -1 while it is empty."""
        self.index = SparseIndex()
        self.is_index_loaded = True
        self.index_due_at = 0
        self.is_index_saved = False
        self.known_from = 0
        """Bytes from here on were written, or read and found good, by this process; those before
        are gone through when they are first read (`checking`)."""
        self.checked = (0, 0)
        """A stretch of bytes before `known_from` that was gone through."""
        self.file: OpenFile | None = None
        self.dropped = False
        """No longer in the log; the file is being deleted, or another one has its name."""

    @property
    def path(self) -> str:
        return os.path.join(self.directory, f"{self.base_offset:020d}{LOG_SUFFIX}")

    @property
    def deleted_path(self) -> str:
        """What the file is called when it counts no longer."""
        return os.path.join(self.directory, f"{self.base_offset:020d}{DELETED_LOG_SUFFIX}")

    @property
    def index_path(self) -> str:
        return os.path.join(self.directory, f"{self.base_offset:020d}{INDEX_SUFFIX}")

    @property
    def end_bytes(self) -> int:
        return self.start_bytes + self.size_bytes

    def open_new(self) -> OpenFile:
        """The file, which must not be there yet. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        self.file = OpenFile(disk.open_file(self.path, flags))
        return self.file

    def open_for_writing(self) -> OpenFile:
        """The file, created if need be. Raises OSError."""
        if self.file is None:
            flags = os.O_RDWR | os.O_CREAT
            self.file = OpenFile(disk.open_file(self.path, flags))
        return self.file

    def unload_index(self) -> None:
        self.index = SparseIndex()
        self.is_index_loaded = False

    def close_file(self) -> None:
        if self.file is not None:
            self.file.release()
            self.file = None

    def add(
        self,
        position: int,
        end: int,
        base_offset: int,
        next_offset: int,
        max_timestamp: int,
        interval_bytes: int,
    ) -> None:
        """Count a batch that is in the file (see `Placed`): size, end, time, perhaps an entry."""
        if position >= self.index_due_at:
            self.index.add(base_offset, position, self.max_timestamp)
            self.index_due_at = position + interval_bytes
        if max_timestamp > self.max_timestamp:
            self.max_timestamp = max_timestamp
        self.size_bytes = end
        self.end_offset = next_offset

    def restore(self, facts: SegmentFacts) -> None:
        """Become the sealed, saved segment that a checkpoint lists."""
        self.end_offset = facts.end_offset
        self.size_bytes = self.known_from = facts.size_bytes
        self.max_timestamp = facts.max_timestamp
        self.first_append_ms = facts.first_append_ms
        self.is_index_loaded = False
        self.is_index_saved = True

    def facts(self) -> SegmentFacts:
        return SegmentFacts(
            self.base_offset,
            self.end_offset,
            self.size_bytes,
            self.max_timestamp,
            self.first_append_ms,
        )


def cached_reader_of(fd: int) -> ReadAt:
    """Reads the file, raising BlockingIOError where it would have to wait for the disk."""

    def read(size_bytes: int, position: int) -> bytes:
        return disk.read_cached(fd, size_bytes, position)

    return read


Tail = tuple[int, Segment, int]
"""A place batches reach up to: next offset, segment, position in it. A plain tuple, since one is
made for every batch."""


def reader_of(fd: int) -> ReadAt:
    """Reads the file, waiting for the disk when it must."""

    def read(size_bytes: int, position: int) -> bytes:
        return disk.read(fd, size_bytes, position)

    return read


def walk(read: ReadAt, position: int, offset: int, end: int) -> Iterator[Placed]:
    """The batches from `position`, where one with base offset `offset` starts, up to `end`, by
    their headers alone. Raises BadBatchError at bytes that are not the expected batch."""
    piece, piece_start = b"", position
    while position < end:
        at = position - piece_start
        if at + HEADER_BYTES > len(piece):
            piece, piece_start, at = read(min(WALK_BYTES, end - position), position), position, 0
            if len(piece) < HEADER_BYTES:
                raise BadBatchError(position, "the file ends inside a batch header")
        base_offset, length, magic, delta, max_timestamp = _PLACE.unpack_from(piece, at)
        if magic != 2 or base_offset != offset or delta < 0:
            raise BadBatchError(position, f"no batch with base offset {offset} is here")
        batch_end = position + LENGTH_OVERHEAD_BYTES + length
        if length < HEADER_BYTES - LENGTH_OVERHEAD_BYTES or batch_end > end:
            raise BadBatchError(position, f"the batch says it is {length} bytes long")
        offset += delta + 1
        yield Placed(position, batch_end, base_offset, offset, max_timestamp)
        position = batch_end
