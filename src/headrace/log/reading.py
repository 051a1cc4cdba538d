"""Finding and cutting: which range of which file answers a read.

Everything here is computed from the index and batch headers; batches are not looked into. The
functions take how to read (`ReadAt`), so the same code runs on the loop with reads that refuse to
wait for the disk, and in a thread with reads that may.

What must not enter: offsets' meaning to readers (high watermark, start): `local` knows those.
"""

import asyncio
import os
from typing import Final, NamedTuple

from headrace.log import disk
from headrace.log.contract import Slice
from headrace.log.index import SparseIndex
from headrace.log.indexing import load_index
from headrace.log.segment import BadBatchError, ReadAt, Segment, reader_of, walk
from headrace.wire.batch import HEADER_BYTES, BatchHeader, peek

__all__ = [
    "EMPTY_SLICE",
    "Cut",
    "Wanted",
    "copy_slice",
    "find_cut",
    "first_header",
    "headers",
    "open_segment",
    "read_slice",
    "send_slice",
    "warm",
]

WARM_PIECE_BYTES: Final = 1024 * 1024
"""Read at once to bring a slice into the page cache."""
HOP_BYTES: Final = 16 * 1024
"""How much is read at once to go from header to header."""


def _nothing() -> None:
    """An empty slice has nothing to release."""


EMPTY_SLICE: Final = Slice(-1, 0, 0, False, _nothing)


class Wanted(NamedTuple):
    """A read within one segment, which is readable up to `limit_position`, where `limit_offset`
    comes next. `position` is where a batch of base offset `offset` starts, -1 if not known."""

    offset: int
    position: int
    size_bytes_max: int
    at_least_one: bool
    limit_position: int
    limit_offset: int


class Cut(NamedTuple):
    """The bytes [position, end) of a segment are whole batches, from base offset `offset` up to
    `next_offset`."""

    position: int
    end: int
    offset: int
    next_offset: int


def find_cut(read: ReadAt, index: SparseIndex, wanted: Wanted) -> Cut:
    """The whole batches that answer `wanted`, up to damage if there is any behind the first.
    Raises BadBatchError, and what `read` raises."""
    position, offset = wanted.position, wanted.offset
    if position < 0:
        position, offset = _locate(read, index, wanted)
    border = position + wanted.size_bytes_max
    if border >= wanted.limit_position:
        return Cut(position, wanted.limit_position, offset, wanted.limit_offset)
    entry = index.at_position(border)
    end, next_offset = position, offset
    if entry.position > position:
        end, next_offset = entry.position, entry.offset
    try:
        for placed in walk(read, end, next_offset, wanted.limit_position):
            if placed.end > border and not (wanted.at_least_one and placed.position == position):
                break
            end, next_offset = placed.end, placed.next_offset
    except BadBatchError:
        if end == position:
            raise
    return Cut(position, end, offset, next_offset)


def _locate(read: ReadAt, index: SparseIndex, wanted: Wanted) -> tuple[int, int]:
    """(position, base offset) of the batch that holds the offset."""
    entry = index.at_offset(wanted.offset)
    for placed in walk(read, entry.position, entry.offset, wanted.limit_position):
        if placed.next_offset > wanted.offset:
            return placed.position, placed.base_offset
    raise BadBatchError(wanted.limit_position, f"no batch with offset {wanted.offset} before it")


def open_segment(
    segment: Segment, interval_bytes: int, with_index: bool
) -> tuple[int, SparseIndex | None]:
    """An open descriptor and, when asked for, the index. Blocks on the disk.
    Raises OSError, CorruptLogError."""
    fd = disk.open_file(segment.path, os.O_RDWR)
    try:
        index = load_index(segment, reader_of(fd), interval_bytes) if with_index else None
    except BaseException:
        disk.release(fd)
        raise
    return fd, index


async def warm(slice_: Slice) -> None:
    """Bring a cold slice into the page cache, in a thread. Raises OSError."""
    if slice_.size_bytes:
        await asyncio.to_thread(_read_through, slice_.file, slice_.position, slice_.size_bytes)


def read_slice(slice_: Slice) -> bytes:
    """All of it, or what the file still has of it. Blocks on the disk. Raises OSError."""
    return disk.read(slice_.file, slice_.size_bytes, slice_.position)


def copy_slice(slice_: Slice, view: memoryview) -> int:
    """Read from its start into `view`; how many bytes there were. Raises OSError."""
    return disk.preadv(slice_.file, [view], slice_.position)


def send_slice(slice_: Slice, socket_fd: int) -> int:
    """Send from its start without a copy; how many bytes the socket took. Raises OSError."""
    return disk.send(socket_fd, slice_.file, slice_.position, slice_.size_bytes)


async def first_header(slice_: Slice) -> BatchHeader | None:
    """The header of the slice's first batch; None for an empty slice. Raises OSError."""
    if slice_.size_bytes < HEADER_BYTES:
        return None
    where = (slice_.file, HEADER_BYTES, slice_.position)
    header = await asyncio.to_thread(disk.read, *where) if slice_.cold else disk.read(*where)
    return peek(header) if len(header) == HEADER_BYTES else None


async def headers(slice_: Slice, until_offset: int) -> list[tuple[int, BatchHeader]]:
    """Position and header of the slice's batches, up to the one that reaches `until_offset`.
    Raises OSError."""
    if slice_.cold:
        return await asyncio.to_thread(_headers, slice_, until_offset)
    return _headers(slice_, until_offset)


def _headers(slice_: Slice, until_offset: int) -> list[tuple[int, BatchHeader]]:
    found: list[tuple[int, BatchHeader]] = []
    position, end = slice_.position, slice_.position + slice_.size_bytes
    piece, piece_at = b"", position
    while end - position >= HEADER_BYTES:
        if position + HEADER_BYTES > piece_at + len(piece):
            piece_at = position
            piece = disk.read(slice_.file, min(HOP_BYTES, end - position), position)
            if len(piece) < HEADER_BYTES:
                raise OSError(f"a segment ends {end - position} bytes before its index says")
        header = peek(piece, position - piece_at)
        found.append((position, header))
        if header.size_bytes < HEADER_BYTES:
            raise OSError(f"a segment is damaged at position {position}")
        position += header.size_bytes
        if header.next_offset >= until_offset:
            break
    return found


def _read_through(fd: int, position: int, size_bytes: int) -> None:
    disk.will_need(fd, position, size_bytes)
    scratch = memoryview(bytearray(min(WARM_PIECE_BYTES, size_bytes)))
    end = position + size_bytes
    while position < end:
        got = disk.preadv(fd, [scratch[: end - position]], position)
        if got == 0:
            return
        position += got
