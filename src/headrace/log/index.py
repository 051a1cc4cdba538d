"""The sparse index of one segment: from an offset, a position or a time to a place to start at.

An entry says "a batch with this base offset starts at this position, and the greatest timestamp
before it in the segment is this". Entries are at least `index_interval_bytes` apart (one batch an
entry when batches are larger), the first is the segment's first batch. All three columns only
grow, so each is searched by bisection; the batch itself is found by walking headers from there.

The `.index` file beside a `.log` file can be rebuilt from it at any time, so one that is missing,
old or damaged costs time only. All integers little-endian:

    byte        field          type
    0           magic          4 bytes, "HRIX"
    4           version        u32, 1
    8           base offset    i64, that of the segment
    16          covered bytes  i64, the entries speak of the segment's bytes before this position
    24          count          u64
    32          offsets        i64 x count
    ...         positions      i64 x count
    ...         timestamps     i64 x count, NO_TIMESTAMP in the first
    last 4      crc            u32, CRC-32C of everything before it

What must not enter: reading segments (`reading`, `recovery`), writing files (`checkpoint`).
"""

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from headrace.wire.crc import crc32c

__all__ = ["NO_TIMESTAMP", "Entry", "SparseIndex"]

NO_TIMESTAMP: Final = -(1 << 63)
"""Before the first batch of a segment no timestamp has been seen."""

_MAGIC: Final = b"HRIX"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<4sIqqQ")
_CRC: Final = struct.Struct("<I")
_INTEGER_BYTES: Final = 8
_COLUMNS: Final = 3
_NOWHERE: Final = (1 << 63) - 1


class Entry(NamedTuple):
    """A batch with base offset `offset` starts at `position`."""

    offset: int
    position: int


class SparseIndex:
    """Three columns that grow together."""

    __slots__ = ("_offsets", "_positions", "_timestamps")

    def __init__(self) -> None:
        self._offsets = array("q")
        self._positions = array("q")
        self._timestamps = array("q")

    def __len__(self) -> int:
        return len(self._timestamps)

    @property
    def size_bytes(self) -> int:
        """What the entries take in memory."""
        return len(self) * _COLUMNS * _INTEGER_BYTES

    def add(self, offset: int, position: int, max_timestamp_before: int) -> None:
        """A batch at `offset` starts at `position`; each call's values are no less than before.
        A thread may be searching meanwhile: it sees the entry when its last column is there."""
        self._offsets.append(offset)
        self._positions.append(position)
        self._timestamps.append(max_timestamp_before)

    def at_offset(self, offset: int) -> Entry:
        """The last entry at or before `offset`, else the first. Raises IndexError when empty."""
        return self._entry(bisect_right(self._offsets, offset, 0, len(self)) - 1)

    def at_position(self, position: int) -> Entry:
        """The last entry at or before `position`, else the first. Raises IndexError when empty."""
        return self._entry(bisect_right(self._positions, position, 0, len(self)) - 1)

    def position_after(self, position: int) -> int:
        """Where the first entry behind `position` points to; 2^63 - 1 if there is none."""
        following = bisect_right(self._positions, position, 0, len(self))
        return self._positions[following] if following < len(self) else _NOWHERE

    def at_time(self, timestamp_ms: int) -> Entry:
        """The last entry with only earlier timestamps before it: the first record of at least
        `timestamp_ms` is not before this entry. Raises IndexError when empty."""
        return self._entry(bisect_left(self._timestamps, timestamp_ms) - 1)

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """(offset, position, greatest timestamp before it) of each entry."""
        return zip(self._offsets, self._positions, self._timestamps, strict=True)

    def cut(self, position: int) -> None:
        """Forget the entries at or after `position`."""
        kept = bisect_left(self._positions, position)
        del self._offsets[kept:], self._positions[kept:], self._timestamps[kept:]

    def encode(self, base_offset: int, covered_bytes: int) -> bytes:
        """The file's bytes."""
        parts = [_HEADER.pack(_MAGIC, _VERSION, base_offset, covered_bytes, len(self))]
        columns = (self._offsets, self._positions, self._timestamps)
        parts.extend(_little_endian(column).tobytes() for column in columns)
        body = b"".join(parts)
        return body + _CRC.pack(crc32c(memoryview(body)))

    @classmethod
    def decode(cls, data: bytes, base_offset: int) -> "tuple[SparseIndex, int]":
        """The index and how many bytes of the segment it covers. Raises ValueError if `data` is
        not a whole and undamaged index of the segment at `base_offset`."""
        if len(data) < _HEADER.size + _CRC.size:
            raise ValueError(f"{len(data)} bytes are too few for an index")
        magic, version, base, covered_bytes, count = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise ValueError(f"not an index of version {_VERSION}")
        column_bytes = count * _INTEGER_BYTES
        end = _HEADER.size + _COLUMNS * column_bytes
        if len(data) != end + _CRC.size or base != base_offset:
            raise ValueError("not the index of this segment")
        if crc32c(memoryview(data)[:end]) != _CRC.unpack_from(data, end)[0]:
            raise ValueError("the index does not match its CRC")
        index = cls()
        start = _HEADER.size
        for column in (index._offsets, index._positions, index._timestamps):
            column.frombytes(data[start : start + column_bytes])
            if sys.byteorder == "big":
                column.byteswap()
            start += column_bytes
        return index, covered_bytes

    def _entry(self, at: int) -> Entry:
        at = max(at, 0)
        return Entry(self._offsets[at], self._positions[at])


def _little_endian(column: "array[int]") -> "array[int]":
    if sys.byteorder == "little":
        return column
    swapped = column[:]
    swapped.byteswap()
    return swapped
