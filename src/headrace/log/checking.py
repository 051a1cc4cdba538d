"""What an earlier process wrote is read through once before a client gets it.

A start reads what a crash may have torn and trusts the rest, and a client that checks CRCs still
believes a damaged base offset, length or leader epoch, which no CRC covers: it would pass over
records without a word. So the first read of such bytes goes through them: chain of offsets, lengths
and CRC-32C. A read ends before the first bad batch, and a read that begins there is refused; every
other batch can be had. What this process wrote, or read while recovering, is not gone through.

Blocks on the disk: threads only. What must not enter: who reads.
"""

from typing import NamedTuple

from headrace.log.index import SparseIndex
from headrace.log.reading import Cut, Wanted, find_cut
from headrace.log.scanning import Scan, find_chain, scan
from headrace.log.segment import BadBatchError, ReadAt, Segment, reader_of

__all__ = ["Checked", "checked_cut", "find_cut_beyond", "needs_check", "remember_checked"]


class Checked(NamedTuple):
    """`cut` is what was found good; `damage` is why it ends where it does, empty if all is."""

    cut: Cut
    damage: str


def checked_cut(fd: int, cut: Cut) -> Checked:
    """Read the batches of `cut`. Raises BadBatchError if the first one is bad; OSError."""
    outcome = Scan()
    end, offset = cut.position, cut.offset
    for _, placed in scan(fd, cut.position, cut.offset, cut.end, outcome):
        end, offset = placed.end, placed.next_offset
    if outcome.why is None and offset != cut.next_offset:
        outcome.why = f"the batches end at offset {offset}, not at {cut.next_offset}"
    if outcome.why is not None and end == cut.position:
        raise BadBatchError(cut.position, outcome.why)
    return Checked(Cut(cut.position, end, cut.offset, offset), outcome.why or "")


def find_cut_beyond(fd: int, index: SparseIndex, wanted: Wanted) -> Cut | None:
    """`find_cut` for an offset behind a batch whose header is damaged, so that nothing leads from
    it to the next one: None if the offset is not in a valid batch before the next index entry.
    Raises BadBatchError, OSError."""
    entry = index.at_offset(wanted.offset)
    until = min(index.position_after(entry.position), wanted.limit_position)
    start = find_chain(fd, entry.position, until, entry.offset)
    if start is None:
        return None
    read = reader_of(fd)
    for _, placed in scan(fd, start, _offset_at(read, start), until, Scan()):
        if placed.base_offset <= wanted.offset < placed.next_offset:
            there = wanted._replace(offset=placed.base_offset, position=placed.position)
            return find_cut(read, index, there)
    return None


def _offset_at(read: ReadAt, position: int) -> int:
    return int.from_bytes(read(8, position), "big", signed=True)


def needs_check(segment: Segment, cut: Cut) -> bool:
    """Whether there is something in `cut` that was not gone through yet."""
    if cut.position >= segment.known_from:
        return False
    start, end = segment.checked
    return not (start <= cut.position and min(cut.end, segment.known_from) <= end)


def remember_checked(segment: Segment, cut: Cut) -> None:
    """`cut` was gone through. One stretch of bytes is remembered besides those from `known_from`
    on: readers go forwards, and to check twice is dear but not wrong."""
    start, end = segment.checked
    if cut.position <= end and start <= cut.end:
        start, end = min(start, cut.position), max(end, cut.end)
    else:
        start, end = cut.position, cut.end
    if end >= segment.known_from:
        segment.known_from = min(start, segment.known_from)
        start = end = 0
    segment.checked = start, end
