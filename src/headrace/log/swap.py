"""How a cleaned segment takes the place of others: crash-safe by a journal of one entry.

Compaction writes what stays of the segments S1 ... Sk (which follow each other) to one file,
`<base offset of S1>.cleaned`, and then:

    1  syncs that file and the directory
    2  writes the journal with the swap: sources, and what the new segment is    <- from here on
    3  removes the sources' indexes, renames `.cleaned` to S1's `.log`,             it is decided
       removes S2 ... Sk, syncs the directory
    4  writes a checkpoint that lists the new segment
    5  writes the journal without a swap

A crash before 2 leaves a `.cleaned` file that no journal speaks of: recovery removes it, and the
log is as it was. After 2 recovery does 3 (again: every step of it may be done already), makes the
checkpoint it found list the new segment, and does 4 and 5 in its turn. So at every point the log
is wholly the old one or wholly the new one, and what it has to be after a start is known.

The journal is the file `cleaning` of the partition, replaced whole (`write_durably`),
little-endian:

    byte  field         type
    0     magic         4 bytes, "HRCL"
    4     version       u32, 1
    8     clean until   i64, the next offset after what compaction has been through; -1 never
    16    sources       u32, how many; 0 is no swap. Then each: base offset i64
    ...   result        if there are sources: base offset, end offset, bytes, greatest timestamp,
                        first append (ms), i64 each
    end-4 crc           u32, CRC-32C of everything before it

A journal that is damaged is taken for none: the whole log counts as not cleaned, which costs time
only. If a swap was under way the checkpoint does not fit the files, and recovery refuses the log.
"""

import logging
import os
import struct
from typing import Final, NamedTuple

from headrace.log import disk
from headrace.log.checkpoint import CHECKPOINT_NAME, Checkpoint, remove_if_there, write_durably
from headrace.log.contract import CorruptLogError
from headrace.log.segment import Segment, SegmentFacts
from headrace.wire.crc import crc32c

__all__ = [
    "CLEANED_SUFFIX",
    "JOURNAL_NAME",
    "NEVER_CLEANED",
    "Journal",
    "Swap",
    "cleaned_path",
    "finish_interrupted",
    "list_result",
    "read_journal",
    "replace_files",
    "write_journal",
]

JOURNAL_NAME: Final = "cleaning"
CLEANED_SUFFIX: Final = ".cleaned"

_MAGIC: Final = b"HRCL"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<4sIqI")
_SOURCE: Final = struct.Struct("<q")
_RESULT: Final = struct.Struct("<qqqqq")
_CRC: Final = struct.Struct("<I")

_log = logging.getLogger(__name__)


class Swap(NamedTuple):
    """The segments at base offsets `sources` become the one that `result` tells of."""

    sources: tuple[int, ...]
    result: SegmentFacts


class Journal(NamedTuple):
    clean_until: int
    swap: Swap | None = None

    def encode(self) -> bytes:
        sources = self.swap.sources if self.swap else ()
        parts = [_HEADER.pack(_MAGIC, _VERSION, self.clean_until, len(sources))]
        parts.extend(_SOURCE.pack(source) for source in sources)
        if self.swap:
            parts.append(_RESULT.pack(*self.swap.result))
        body = b"".join(parts)
        return body + _CRC.pack(crc32c(memoryview(body)))

    @classmethod
    def decode(cls, data: bytes) -> "Journal":
        """Raises ValueError for anything but a whole, undamaged journal."""
        end = len(data) - _CRC.size
        if end < _HEADER.size or crc32c(memoryview(data)[:end]) != _CRC.unpack_from(data, end)[0]:
            raise ValueError("the journal does not match its CRC")
        magic, version, clean_until, count = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise ValueError(f"not a journal of version {_VERSION}")
        results_end = _HEADER.size + count * _SOURCE.size
        if end != results_end + (_RESULT.size if count else 0):
            raise ValueError(f"a journal of {count} sources has not {len(data)} bytes")
        if count == 0:
            return cls(clean_until)
        sources = tuple(base for (base,) in _SOURCE.iter_unpack(data[_HEADER.size : results_end]))
        result = SegmentFacts._make(_RESULT.unpack_from(data, results_end))
        return cls(clean_until, Swap(sources, result))


NEVER_CLEANED: Final = Journal(-1)


def cleaned_path(segment: Segment) -> str:
    """Where what stays of the segment, and of those after it, is written to."""
    return os.path.join(segment.directory, f"{segment.base_offset:020d}{CLEANED_SUFFIX}")


def write_journal(directory: str, journal: Journal) -> None:
    """Durably. Raises OSError."""
    write_durably(os.path.join(directory, JOURNAL_NAME), journal.encode())


def read_journal(directory: str) -> Journal:
    """Raises OSError."""
    path = os.path.join(directory, JOURNAL_NAME)
    try:
        return Journal.decode(disk.read_file(path))
    except FileNotFoundError:
        return NEVER_CLEANED
    except ValueError as error:
        _log.warning("%s is ignored, the log counts as never compacted: %s", path, error)
        return NEVER_CLEANED


def replace_files(directory: str, swap: Swap) -> None:
    """Step 3, which may have been done before, in part or whole. Raises CorruptLogError, with
    nothing changed, when the new segment is nowhere; OSError."""
    segments = [Segment(directory, base, 0) for base in swap.sources]
    is_renamed = not disk.is_there(cleaned_path(segments[0]))
    if is_renamed and disk.size_of(segments[0].path) != swap.result.size_bytes:
        raise CorruptLogError(
            f"{cleaned_path(segments[0])} is missing, which a compaction was to put in the place "
            f"of {segments[0].path}"
        )
    for segment in segments:
        remove_if_there(segment.index_path)
    if not is_renamed:
        disk.rename(cleaned_path(segments[0]), segments[0].path)
    for segment in segments[1:]:
        remove_if_there(segment.path)
    disk.fsync_directory(directory)


def finish_interrupted(directory: str, checkpoint: Checkpoint) -> Journal:
    """At a start: finish the swap that a crash interrupted, and let the checkpoint list its
    result. Returns the journal, which speaks of no swap any more. Raises OSError."""
    journal = read_journal(directory)
    if journal.swap is None:
        return journal
    if not _is_deleted(directory, journal.swap, checkpoint):
        replace_files(directory, journal.swap)
    list_result(checkpoint, journal.swap)
    write_durably(os.path.join(directory, CHECKPOINT_NAME), checkpoint.encode())
    journal = Journal(journal.clean_until)
    write_journal(directory, journal)
    return journal


def _is_deleted(directory: str, swap: Swap, checkpoint: Checkpoint) -> bool:
    """Whether the result took its place, and the log's start has moved past it since: on a full
    disk that may come before steps 4 and 5."""
    first = Segment(directory, swap.sources[0], 0)
    if disk.is_there(first.path) or disk.is_there(cleaned_path(first)):
        return False
    is_listed = any(facts.base_offset == first.base_offset for facts in checkpoint.segments)
    return not is_listed or disk.is_there(first.deleted_path)


def list_result(checkpoint: Checkpoint, swap: Swap) -> None:
    """In place of the sources, or of the result if the checkpoint knew already. Segments that
    were deleted since are on no list, and stay off it."""
    listed = [facts.base_offset for facts in checkpoint.segments]
    if swap.sources[0] in listed:
        at = listed.index(swap.sources[0])
        until = at + 1
        while until < len(listed) and listed[until] in swap.sources:
            until += 1
        checkpoint.segments[at:until] = [swap.result]
