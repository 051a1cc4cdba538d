"""The checkpoint of a partition: what is known to be on the disk, so that a start scans little.

A checkpoint says: every byte before the recovery point is synced, and this was the state there.
Recovery reads the batches behind the point and is done. It is written when a segment is rolled,
every so many bytes, when the log's start moves, and on close; never in place. The file
`checkpoint`, little-endian:

    byte  field                 type
    0     magic                 4 bytes, "HRCP"
    4     version               u32, 2; 1 had no transactions
    8     log start offset      i64
    16    recovery offset       i64, the next offset at the recovery point
    24    segments              u32, then each: base offset i64, end offset i64, bytes i64,
                                greatest timestamp i64, first append i64 (ms). The recovery
                                point is the end of the last one
    ...   producers             see `producers`
    ...   transactions          see `transactions`
    end-4 crc                   u32, CRC-32C of everything before it

A checkpoint that is missing or damaged costs a scan of the whole log; the log then starts at its
first segment, and its producers count as just seen.
"""

import os
import struct
from dataclasses import dataclass, field
from typing import Final

from headrace.log import disk
from headrace.log.producers import ProducerTable
from headrace.log.segment import SegmentFacts
from headrace.log.transactions import Transactions
from headrace.wire.crc import crc32c

__all__ = ["CHECKPOINT_NAME", "TEMPORARY_SUFFIX", "Checkpoint", "write_durably"]

CHECKPOINT_NAME: Final = "checkpoint"
TEMPORARY_SUFFIX: Final = ".tmp"

_MAGIC: Final = b"HRCP"
_VERSION: Final = 2
_VERSION_WITHOUT_TRANSACTIONS: Final = 1
_HEADER: Final = struct.Struct("<4sIqqI")
_SEGMENT: Final = struct.Struct("<qqqqq")
_CRC: Final = struct.Struct("<I")


@dataclass(slots=True)
class Checkpoint:
    """The state of a log at its recovery point, which is the end of the last segment here."""

    log_start_offset: int = 0
    recovery_offset: int = 0
    segments: list[SegmentFacts] = field(default_factory=list)
    producers: ProducerTable = field(default_factory=ProducerTable)

    def encode(self) -> bytes:
        parts = [
            _HEADER.pack(
                _MAGIC, _VERSION, self.log_start_offset, self.recovery_offset, len(self.segments)
            )
        ]
        parts.extend(_SEGMENT.pack(*facts) for facts in self.segments)
        parts.append(self.producers.encode())
        parts.append(self.producers.transactions.encode())
        body = b"".join(parts)
        return body + _CRC.pack(crc32c(memoryview(body)))

    @classmethod
    def decode(cls, data: bytes) -> "Checkpoint":
        """Raises ValueError for anything but a whole, undamaged checkpoint."""
        end = len(data) - _CRC.size
        if end < _HEADER.size or crc32c(memoryview(data)[:end]) != _CRC.unpack_from(data, end)[0]:
            raise ValueError("the checkpoint does not match its CRC")
        magic, version, start, recovery, count = _HEADER.unpack_from(data)
        if magic != _MAGIC or version not in (_VERSION_WITHOUT_TRANSACTIONS, _VERSION):
            raise ValueError(f"not a checkpoint of version {_VERSION} or older")
        try:
            position = _HEADER.size
            segments = []
            for _ in range(count):
                segments.append(SegmentFacts._make(_SEGMENT.unpack_from(data, position)))
                position += _SEGMENT.size
            producers, position = ProducerTable.decode(data, position, version)
            if version > _VERSION_WITHOUT_TRANSACTIONS:
                producers.transactions, position = Transactions.decode(data, position)
        except struct.error as error:
            raise ValueError(f"the checkpoint ends early: {error}") from error
        if position != end:
            raise ValueError(f"{end - position} bytes too many in the checkpoint")
        return cls(start, recovery, segments, producers)


def write_durably(path: str, data: bytes) -> None:
    """Make the file at `path` hold `data`, whole or as it was, also through a power cut.

    Blocks on the disk. Raises OSError; the temporary file is gone then.
    """
    temporary = path + TEMPORARY_SUFFIX
    try:
        fd = disk.open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            disk.write(fd, data, 0)
            disk.fsync(fd)
        finally:
            disk.release(fd)
        disk.rename(temporary, path)
    except OSError:
        remove_if_there(temporary)
        raise
    disk.fsync_directory(os.path.dirname(path))


def remove_if_there(path: str) -> None:
    """Unlink; a file that is not there is fine."""
    try:
        disk.unlink(path)
    except FileNotFoundError:
        return
