"""Opened records: those of a share fetch, out of their batches.

Kafka's share consumers open batches themselves; members that live in the broker need this. What is
damaged, or unfolds to more than UNPACKED_BYTES_MAX, is told apart from offsets that hold nothing.
What must not enter: members, what becomes of a record.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from headrace.groups.share_steps import Acquired
from headrace.log.contract import Slice
from headrace.log.reading import read_slice
from headrace.wire.batch import HEADER_BYTES, BatchHeader, crc_matches, peek
from headrace.wire.errors import MalformedError
from headrace.wire.records import Record, read_records

__all__ = ["UNPACKED_BYTES_MAX", "OpenedRecords", "open_acquired"]

UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one batch."""
OPENED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of keys, values and headers at one time, or one record if it is larger. The disk holds them
compressed, so what one read brings may be many times its size."""


class OpenedRecords(NamedTuple):
    """By rising offset, records and how often each was delivered; and offsets: where nobody can
    read what is there, which hold no record, and what is too much at one time."""

    records: list[tuple[Record, int]]
    damaged: list[int]
    empty: list[int]
    too_much: list[int]


async def open_acquired(slices: Sequence[Slice], acquired: Sequence[Acquired]) -> OpenedRecords:
    """In a thread. The slices are released, whatever happens. Raises OSError."""
    # Shielded: whoever waits may go away, the thread reads on from the file that is held for it.
    opening = asyncio.get_running_loop().run_in_executor(None, _open, slices, acquired)
    opening.add_done_callback(lambda done: _let_go(done, slices))
    return await asyncio.shield(opening)


def _let_go(done: "asyncio.Future[OpenedRecords]", slices: Sequence[Slice]) -> None:
    for piece in slices:
        piece.release()
    if not done.cancelled():
        done.exception()  # seen, even if nobody waits for it any more


def _open(slices: Sequence[Slice], acquired: Sequence[Acquired]) -> OpenedRecords:
    counts = {
        offset: run.delivery_count for run in acquired for offset in range(run.first, run.last + 1)
    }
    opened = OpenedRecords([], [], [], [])
    left_bytes = OPENED_BYTES_MAX
    for header, batch in _batches(slices):
        inside = range(header.base_offset, header.next_offset)
        wanted = {offset: counts.pop(offset) for offset in [*counts] if offset in inside}
        if not wanted:
            continue
        if left_bytes <= 0:
            opened.too_much.extend(wanted)
            continue
        try:
            if not crc_matches(batch, header):
                raise MalformedError("a wrong checksum")
            for record in read_records(
                batch, decompressed_bytes_max=UNPACKED_BYTES_MAX, only=wanted
            ):
                size_bytes = _size_bytes(record)
                if opened.records and size_bytes > left_bytes:
                    left_bytes = 0
                    opened.too_much.append(record.offset)
                    del wanted[record.offset]
                    continue
                left_bytes -= size_bytes
                opened.records.append((record, wanted.pop(record.offset)))
            opened.empty.extend(wanted)
        except MalformedError:
            opened.damaged.extend(wanted)
    opened.empty.extend(counts)
    return opened


def _batches(slices: Sequence[Slice]) -> Iterator[tuple[BatchHeader, memoryview]]:
    for piece in slices:
        data = memoryview(read_slice(piece))
        position = 0
        while len(data) - position >= HEADER_BYTES:
            header = peek(data, position)
            if header.size_bytes < HEADER_BYTES:
                break  # damaged: nothing leads to the next one
            yield header, data[position : position + header.size_bytes]
            position += header.size_bytes


def _size_bytes(record: Record) -> int:
    size = len(record.key or b"") + len(record.value or b"")
    return size + sum(len(name) + len(value or b"") for name, value in record.headers)
