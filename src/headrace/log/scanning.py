"""Reading the unchecked tail of a segment: every byte, every CRC; and telling how it ends.

What must not enter: the decision what a bad end means (`recovery`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from headrace.log import disk
from headrace.log.segment import LEADER_EPOCH, Placed
from headrace.wire.batch import (
    CRC_START,
    HEADER_BYTES,
    LENGTH_OVERHEAD_BYTES,
    BatchHeader,
    peek,
)
from headrace.wire.crc import crc32c

__all__ = [
    "Scan",
    "ends_early",
    "find_batch",
    "find_chain",
    "has_lost_sector",
    "scan",
    "scan_batches",
    "stray_offset",
]

SCAN_BYTES: Final = 4 * 1024 * 1024
"""Read at once; a batch larger than that gets a buffer of its size."""
BATCH_BYTES_MAX: Final = 256 * 1024 * 1024
"""More than a request may hold, so it is a damaged length."""
SECTOR_BYTES: Final = 512
"""The least that a disk writes whole, and that a power cut can lose."""
LAST_SECTOR_BYTES_MIN: Final = 16
"""Of a sector that the file does not fill: fewer zeros are no sign that it was lost."""
SEARCH_BYTES_MAX: Final = 256 * 1024 * 1024
"""How far behind a bad batch a valid one is looked for."""

_MAGIC_AT: Final = 16
_OFFSET_BYTES: Final = 8


@dataclass(slots=True)
class Scan:
    """How a scan ended: `why` is None at the end of the file, else what is wrong there."""

    why: str | None = None


class _Window:
    """A part of a file in memory, which moves along: `view` holds the bytes from `start` on."""

    def __init__(self, fd: int, size: int) -> None:
        self.start = 0
        self.view = memoryview(b"")
        self._fd = fd
        self._size = size
        self._buffer = bytearray()

    def move(self, position: int, size_bytes: int) -> None:
        """Begin at `position` and hold at least `size_bytes`, or what the file has."""
        wanted = min(max(size_bytes, SCAN_BYTES), self._size - position)
        if wanted > len(self._buffer):
            self._buffer = bytearray(wanted)
        self.start = position
        self.view = memoryview(self._buffer)[: _fill(self._fd, self._buffer, wanted, position)]


def scan(
    fd: int, position: int, offset: int, size: int, outcome: Scan
) -> Iterator[tuple[BatchHeader, Placed]]:
    """The valid batches from `position`, where one of base offset `offset` is expected, until
    the end of the file at `size` or the first bytes that are none; says which in `outcome`."""
    for header, placed, _ in scan_batches(fd, position, offset, size, outcome):
        yield header, placed


def scan_batches(
    fd: int, position: int, offset: int, size: int, outcome: Scan
) -> Iterator[tuple[BatchHeader, Placed, memoryview]]:
    """As `scan`, with each batch's bytes, which are good until the next one is asked for."""
    window = _Window(fd, size)
    while position < size:
        at = position - window.start
        if at + HEADER_BYTES > len(window.view):
            window.move(position, HEADER_BYTES)
            at = 0
            if len(window.view) < HEADER_BYTES:
                outcome.why = f"{len(window.view)} bytes are too few for a batch"
                return
        header = peek(window.view, at)
        outcome.why = _wrong(header, offset, size - position)
        if outcome.why is not None:
            return
        size_bytes = header.size_bytes
        if at + size_bytes > len(window.view):
            window.move(position, size_bytes)
            at = 0
        if crc32c(window.view[at + CRC_START : at + size_bytes]) != header.crc:
            outcome.why = "the batch does not match its CRC-32C"
            return
        end, next_offset = position + size_bytes, header.next_offset
        placed = Placed(position, end, offset, next_offset, header.max_timestamp)
        yield header, placed, window.view[at : at + size_bytes]
        position, offset = end, next_offset


def _fill(fd: int, buffer: bytearray, size_bytes: int, position: int) -> int:
    """Read `size_bytes` from `position`; how many there were."""
    filled = 0
    with memoryview(buffer) as whole:
        while filled < size_bytes:
            got = disk.preadv(fd, [whole[filled:size_bytes]], position + filled)
            if got == 0:
                break
            filled += got
    return filled


def _wrong(header: BatchHeader, offset: int, room_bytes: int) -> str | None:
    if header.magic != 2:
        return f"magic {header.magic} is not that of a batch"
    if header.base_offset != offset:
        return f"a batch of offset {header.base_offset} where {offset} is expected"
    if header.length < HEADER_BYTES - LENGTH_OVERHEAD_BYTES or header.last_offset_delta < 0:
        return f"a batch of length {header.length}, last offset delta {header.last_offset_delta}"
    if header.leader_epoch != LEADER_EPOCH:
        return f"a batch of leader epoch {header.leader_epoch}; there is only {LEADER_EPOCH}"
    if header.length > BATCH_BYTES_MAX:
        return f"a batch of {header.size_bytes} bytes, which is larger than any"
    if header.size_bytes > room_bytes:
        return f"a batch of {header.size_bytes} bytes, {room_bytes} are left in the file"
    return None


def stray_offset(fd: int, position: int, size: int) -> int | None:
    """The base offset of the valid batch at `position`, whatever it is; None if there is none."""
    head = disk.read(fd, _OFFSET_BYTES, position)
    if len(head) < _OFFSET_BYTES:
        return None
    offset = int.from_bytes(head, "big", signed=True)
    found = next(scan(fd, position, offset, size, Scan()), None)
    return None if found is None else offset


def find_batch(fd: int, position: int, size: int, above_offset: int) -> int | None:
    """Where, after `position`, the first valid batch with a base offset above `above_offset`
    starts; None if there is none within SEARCH_BYTES_MAX.

    What stands at `position` may be a torn batch whose records hold batches (a copy of another
    log). So one whose length fits is stepped over, and one that ends behind the file is followed
    only by what reaches exactly to the end of the file.
    """
    data = bytearray(min(size - position, SEARCH_BYTES_MAX))
    tail = memoryview(data)[: _fill(fd, data, len(data), position)]
    at, torn = 1, False
    if len(tail) >= HEADER_BYTES:
        header = peek(tail)
        if _wrong(header, above_offset, len(tail)) is None:
            at = header.size_bytes
        else:
            torn = _wrong(header, above_offset, header.size_bytes) is None
    while True:
        at = data.find(b"\x02", at + _MAGIC_AT) - _MAGIC_AT
        if at < 0:
            return None
        end = _batch_end(tail, at, above_offset)
        if end is not None and (not torn or _reaches_the_end(tail, end)):
            return position + at
        at += 1


def find_chain(fd: int, position: int, until: int, above_offset: int) -> int | None:
    """Where, after `position`, the first of valid batches starts that follow each other up to
    exactly `until`, with base offsets above `above_offset`; None if there are none.

    It looks into what `find_batch` steps over, since the length of a bad batch may be what is bad.
    Batches inside of a record do not reach to the end of their batch: a record ends with headers.
    """
    data = bytearray(min(until - position, SEARCH_BYTES_MAX))
    tail = memoryview(data)[: _fill(fd, data, len(data), position)]
    if len(tail) < until - position:
        return None
    at = 1
    while True:
        at = data.find(b"\x02", at + _MAGIC_AT) - _MAGIC_AT
        if at < 0:
            return None
        end = _batch_end(tail, at, above_offset)
        if end is not None and _reaches_the_end(tail, end):
            return position + at
        at += 1


def _reaches_the_end(tail: memoryview, at: int | None) -> bool:
    while at is not None and at < len(tail):
        at = _batch_end(tail, at, -1)
    return at is not None


def _batch_end(tail: memoryview, at: int, above_offset: int) -> int | None:
    """The end of the valid batch at `at`, None if there is none above `above_offset`."""
    if len(tail) - at < HEADER_BYTES:
        return None
    header = peek(tail, at)
    if header.base_offset <= above_offset:
        return None
    if _wrong(header, header.base_offset, len(tail) - at) is not None:
        return None
    end = at + header.size_bytes
    return end if crc32c(tail[at + CRC_START : end]) == header.crc else None


def has_lost_sector(fd: int, position: int, end: int, offset: int) -> bool:
    """Whether a sector of [position, end), where a batch of base offset `offset` should start, was
    never written: it reads as zeros. Of the first sector only the rest counts, since what is
    before `position` may have been written earlier; the last one counts whole, since the valid
    batch at `end` may begin with zeros, or as much of it as the file has, if that is not little:
    a batch may well end with a few zeros."""
    first = -(-position // SECTOR_BYTES) * SECTOR_BYTES
    head = disk.read(fd, min(first, end) - position, position)
    if not any(head) and (len(head) > _OFFSET_BYTES or any(_offset_bytes(offset)[: len(head)])):
        return True
    zeros = bytes(SECTOR_BYTES)
    for start in range(first, end, SCAN_BYTES):
        sectors = -(-min(SCAN_BYTES, end - start) // SECTOR_BYTES)
        piece = disk.read(fd, sectors * SECTOR_BYTES, start)
        for at in range(0, len(piece) - SECTOR_BYTES + 1, SECTOR_BYTES):
            if piece[at] == 0 and piece.startswith(zeros, at):
                return True
        last = piece[len(piece) // SECTOR_BYTES * SECTOR_BYTES :]  # the file ends in this sector
        are_all_zeros = bool(last) and len(piece) == len(last) and not any(head)
        if not any(last) and (len(last) >= LAST_SECTOR_BYTES_MIN or are_all_zeros):
            return True
    return False


def ends_early(fd: int, position: int, size: int, offset: int) -> bool:
    """Whether the file of `size` bytes ends amid the batch of base offset `offset` at `position`,
    as it does when the power went before the file's last size was down. A batch that only says so,
    since its length has changed, does not end with a sector."""
    head = disk.read(fd, min(HEADER_BYTES, size - position), position)
    if not head or not _offset_bytes(offset).startswith(head[:_OFFSET_BYTES]):
        return False
    if len(head) < HEADER_BYTES:
        return True
    header = peek(head)
    is_cut = header.magic == 2 and header.size_bytes > size - position
    return is_cut and size % SECTOR_BYTES == 0


def _offset_bytes(offset: int) -> bytes:
    return offset.to_bytes(_OFFSET_BYTES, "big")
