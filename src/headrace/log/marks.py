"""The durable marks: up to where each partition is known to be synced, as of its last sync.

A checkpoint is dear, so its recovery point lags; a mark is one small write into the page cache
after every sync, and after a recovery, which syncs too. It is never synced itself: after a killed
process it is exact, after a power cut it is what the kernel had written back, some seconds old.
Either way what lies before it was synced, so recovery takes nothing before it for a torn tail.
Without the file recovery works as well, it only knows less.

`headrace.marks` in the data directory is an array of slots of 64 bytes, little-endian, which no
sector border divides; a slot that is zero, or does not match its CRC, is free:

    byte  field        type
    0     topic id     16 bytes
    16    partition    u32
    20    segment      i64, its base offset
    28    position     i64, in the segment; bytes before it are synced
    36    crc          u32, CRC-32C of bytes 0 to 36
    40    zeros

What must not enter: anything that waits for the disk.
"""

import logging
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from headrace.log import disk
from headrace.wire.crc import crc32c

__all__ = ["MARKS_NAME", "LogMark", "Mark", "Marks", "encode_marks", "read_marks"]

MARKS_NAME: Final = "headrace.marks"

SLOT_BYTES: Final = 64

_SLOT: Final = struct.Struct("<16sIqq")
_CRC: Final = struct.Struct("<I")

_log = logging.getLogger(__name__)

Key = tuple[bytes, int]
"""A topic's id and a partition's number."""


class Mark(NamedTuple):
    """A place in a log; marks of one log compare by place."""

    base_offset: int
    position: int


class LogMark:
    """The slot of one log. `found` is what an earlier process left; (-1, 0) if nothing."""

    __slots__ = ("_fd", "_is_warned", "_partition", "_slot", "_topic", "found")

    def __init__(self, fd: int, slot: int, topic: bytes, partition: int, found: Mark) -> None:
        self._fd = fd
        self._slot = slot
        self._topic = topic
        self._partition = partition
        self._is_warned = False
        self.found = found

    def set(self, base_offset: int, position: int) -> None:
        """Bytes before here are synced. Any thread, one at a time; an error is logged: an older
        mark is a true one too."""
        slot = _encode(self._topic, self._partition, base_offset, position)
        try:
            disk.pwrite(self._fd, slot, self._slot * SLOT_BYTES)
        except OSError as error:
            if not self._is_warned:
                self._is_warned = True
                _log.warning("a partition's durable mark is not written: %s", error)


class Marks:
    """The file, open. Loop thread only, but for `LogMark.set`."""

    def __init__(self, directory: str) -> None:
        """Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT
        path = os.path.join(directory, MARKS_NAME)
        self._fd = disk.open_file(path, flags)
        self._slots: dict[tuple[bytes, int], int] = {}
        self._found: dict[tuple[bytes, int], Mark] = {}
        self._free: list[int] = []
        try:
            data = disk.read_file(path)
        except OSError:
            disk.release(self._fd)
            raise
        self._count = len(data) // SLOT_BYTES
        for slot, read in enumerate(_read(data)):
            if read is None:
                self._free.append(slot)
            else:
                key, mark = read
                self._slots[key] = slot
                self._found[key] = mark

    def of(self, topic_id: UUID, partition: int) -> LogMark:
        """The log's slot, taken now if it has none."""
        key = topic_id.bytes, partition
        slot = self._slots.get(key)
        if slot is None:
            if self._free:
                slot = self._free.pop()
            else:
                slot = self._count
                self._count += 1
            self._slots[key] = slot
        return LogMark(self._fd, slot, *key, self._found.get(key, Mark(-1, 0)))

    def forget(self, topic_id: UUID) -> None:
        """The topic is gone: free its slots. Raises OSError."""
        for key in [key for key in self._slots if key[0] == topic_id.bytes]:
            slot = self._slots.pop(key)
            self._found.pop(key, None)
            disk.pwrite(self._fd, bytes(SLOT_BYTES), slot * SLOT_BYTES)
            self._free.append(slot)

    def close(self) -> None:
        disk.release(self._fd)


def read_marks(directory: str) -> dict[Key, Mark]:
    """What the file in `directory` says; nothing without one. Raises OSError."""
    try:
        data = disk.read_file(os.path.join(directory, MARKS_NAME))
    except FileNotFoundError:
        return {}
    return dict(read for read in _read(data) if read is not None)


def encode_marks(marks: Mapping[Key, Mark]) -> bytes:
    """The file that says so."""
    return b"".join(_encode(*key, *mark) for key, mark in marks.items())


def _read(data: bytes) -> Iterator[tuple[Key, Mark] | None]:
    """What each slot says; None of a free one."""
    for start in range(0, len(data) // SLOT_BYTES * SLOT_BYTES, SLOT_BYTES):
        body = data[start : start + _SLOT.size]
        topic, partition, base_offset, position = _SLOT.unpack(body)
        (crc,) = _CRC.unpack_from(data, start + _SLOT.size)
        is_taken = any(body) and crc == crc32c(memoryview(body))
        yield ((topic, partition), Mark(base_offset, position)) if is_taken else None


def _encode(topic: bytes, partition: int, base_offset: int, position: int) -> bytes:
    body = _SLOT.pack(topic, partition, base_offset, position)
    return (body + _CRC.pack(crc32c(memoryview(body)))).ljust(SLOT_BYTES, b"\0")
