"""The transactions of one partition: which are open, and which of the ended ones were aborted.

Pure: no clock, no disk. A transaction is open here from its first batch to its marker. Readers of
committed data stop at the first batch of the oldest one that is open, or whose marker is not yet
readable: the last stable offset. Of the ended ones the aborted are remembered, since their
records stay in the log: a reader is told which of those it was given never happened. And a tail
of markers and aborted records is known as *hidden*: nobody who has read up to it is behind.

In a checkpoint (`encode`, `decode`; little-endian):

    hidden     start i64, end i64
    open       u32, then each: producer id i64, first offset i64, offsets taken i64, in the order
               of first offsets
    aborted    u32, then each: producer id i64, first offset i64, marker's offset i64, last stable
               offset when the marker was written i64, in the order of markers
"""

import struct
import sys
from array import array
from collections import deque
from typing import Final, NamedTuple

from headrace.log.contract import Aborted

__all__ = ["ABORTED_MAX", "Transactions"]

ABORTED_MAX: Final = 1_000_000
"""Aborted transactions remembered a partition, 32 bytes each. A partition that holds so many takes
no new transactions until retention has removed some."""

BLOCK: Final = 256
"""Aborted transactions that a search passes over at once, if all of them begin behind its end: of
those that end while another one is open, a reader who is far back has to be told of none."""

_COUNT: Final = struct.Struct("<I")
_HIDDEN: Final = struct.Struct("<qq")
_OPEN: Final = struct.Struct("<qqq")
_FIELDS: Final = 4
_FIRST_AT, _MARKER_AT, _STABLE_AT = 1, 2, 3
_NONE_OPEN: Final = 2**63 - 1


class _Open(NamedTuple):
    first: int
    taken: int
    """Offsets that its batches take; those from `first` on, unless others wrote in between."""


class Transactions:
    """Offsets only ever grow: `write` and `end` are called in the order of the log."""

    __slots__ = ("_aborted", "_block_firsts", "_ended", "_hidden", "_open", "first_unstable")

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        """By producer id; the oldest comes first."""
        self._ended: deque[tuple[int, int]] = deque()
        """(first offset, marker's offset) of those whose marker is not readable yet."""
        self._aborted = array("q")
        self._block_firsts = array("q")
        """The least first offset of each BLOCK of `_aborted`."""
        self._hidden = 0, 0
        """[start, end): markers and aborted records, and nothing else."""
        self.first_unstable = _NONE_OPEN
        """Where the first transaction begins that is not ended and readable; beyond any log when
        there is none."""

    def is_open(self, producer_id: int) -> bool:
        return producer_id in self._open

    def first_offset(self, producer_id: int) -> int:
        """Of the producer's open transaction; -1 if it has none."""
        found = self._open.get(producer_id)
        return -1 if found is None else found.first

    def open_count(self) -> int:
        return len(self._open)

    def open_producers(self) -> list[int]:
        return list(self._open)

    def is_full(self) -> bool:
        return len(self._aborted) >= ABORTED_MAX * _FIELDS

    def write(self, producer_id: int, offset: int, end: int) -> None:
        """A transactional batch takes the offsets [offset, end); the first one of its producer
        begins the transaction."""
        found = self._open.get(producer_id)
        if found is not None:
            self._open[producer_id] = _Open(found.first, found.taken + end - offset)
            return
        self._open[producer_id] = _Open(offset, end - offset)
        if self.first_unstable == _NONE_OPEN:
            self.first_unstable = offset

    def end(self, producer_id: int, marker_offset: int, *, commit: bool) -> None:
        """A marker was written: what is open of the producer ends, as soon as that is readable."""
        found = self._open.pop(producer_id, None)
        hides_from = marker_offset
        if found is not None:
            self._ended.append((found.first, marker_offset))
            if not commit:
                # Of the transactions that end later, none begins before this.
                oldest = next(iter(self._open.values()), None)
                still_open = marker_offset + 1 if oldest is None else oldest.first
                self._remember((producer_id, found.first, marker_offset, still_open))
                if found.first + found.taken == marker_offset:  # and nobody else wrote meanwhile
                    hides_from = found.first
        start, end = self._hidden
        self._hidden = start if end == hides_from else hides_from, marker_offset + 1

    def _remember(self, fields: tuple[int, int, int, int]) -> None:
        if len(self._aborted) % (BLOCK * _FIELDS) == 0:
            self._block_firsts.append(fields[_FIRST_AT])
        elif fields[_FIRST_AT] < self._block_firsts[-1]:
            self._block_firsts[-1] = fields[_FIRST_AT]
        self._aborted.extend(fields)

    def _sum_up_blocks(self) -> None:
        firsts = self._aborted[_FIRST_AT::_FIELDS]
        self._block_firsts = array(
            "q", (min(firsts[at : at + BLOCK]) for at in range(0, len(firsts), BLOCK))
        )

    def committed_end(self, last_stable: int) -> int:
        """Up to where there may be records to hand out to a reader of committed data."""
        start, end = self._hidden
        return start if start < last_stable <= end else last_stable

    def readable_to(self, high_watermark: int) -> None:
        """Everything before `high_watermark` can be read now, markers included."""
        ended = self._ended
        if not ended or ended[0][1] >= high_watermark:
            return
        while ended and ended[0][1] < high_watermark:
            ended.popleft()
        oldest = next(iter(self._open.values()), None)
        unstable = [first for first, _ in ended]
        unstable.append(_NONE_OPEN if oldest is None else oldest.first)
        self.first_unstable = min(unstable)

    def aborted_between(self, start: int, end: int) -> list[Aborted]:
        """The aborted transactions with records or marker in [start, end), by first offset."""
        table, block_firsts = self._aborted, self._block_firsts
        at, count = self._first_with_marker_from(start), len(table) // _FIELDS
        found = []
        while at < count:
            if at % BLOCK == 0 and block_firsts[at // BLOCK] >= end:
                at += BLOCK
                if table[(min(at, count) - 1) * _FIELDS + _STABLE_AT] >= end:
                    break
                continue
            producer_id, first, _, stable = table[at * _FIELDS : (at + 1) * _FIELDS]
            if first < end:
                found.append(Aborted(producer_id, first))
            if stable >= end:
                break
            at += 1
        found.sort(key=lambda aborted: aborted.first_offset)
        return found

    def forget_before(self, start: int) -> None:
        """The log begins at `start` now."""
        count = self._first_with_marker_from(start)
        if count:
            del self._aborted[: count * _FIELDS]
            self._sum_up_blocks()

    def encode(self) -> bytes:
        parts = [_HIDDEN.pack(*self._hidden), _COUNT.pack(len(self._open))]
        parts.extend(_OPEN.pack(producer_id, *found) for producer_id, found in self._open.items())
        parts.append(_COUNT.pack(len(self._aborted) // _FIELDS))
        parts.append(_little_endian(self._aborted).tobytes())
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes, position: int) -> "tuple[Transactions, int]":
        """The transactions and the position after them. Raises struct.error if `data` ends before
        that."""
        found = cls()
        found._hidden = _HIDDEN.unpack_from(data, position)
        position += _HIDDEN.size
        (count,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        for _ in range(count):
            producer_id, first, taken = _OPEN.unpack_from(data, position)
            found.write(producer_id, first, first + taken)
            position += _OPEN.size
        (count,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        size = count * _FIELDS * found._aborted.itemsize
        if position + size > len(data):
            raise struct.error(f"{count} aborted transactions in {len(data) - position} bytes")
        found._aborted.frombytes(data[position : position + size])
        found._aborted = _little_endian(found._aborted)
        found._sum_up_blocks()
        return found, position + size

    def _first_with_marker_from(self, offset: int) -> int:
        """The place of the first aborted transaction with a marker at or after `offset`."""
        low, high = 0, len(self._aborted) // _FIELDS
        while low < high:
            middle = (low + high) // 2
            if self._aborted[middle * _FIELDS + _MARKER_AT] < offset:
                low = middle + 1
            else:
                high = middle
        return low


def _little_endian(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "little":
        return numbers
    swapped = array("q", numbers)
    swapped.byteswap()
    return swapped
