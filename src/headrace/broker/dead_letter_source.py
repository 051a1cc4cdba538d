"""Reading the records that are given up, to copy them: as much as is there and fits.

What cannot be had (deleted by retention, damaged, more than UNPACKED_BYTES_MAX when unpacked, on a
partition that is offline) is left out; its dead letter goes without it, as KIP-1191 has it.

What must not enter: what the copies are for.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from headrace.broker.dead_letter_batch import GivenUp
from headrace.log.contract import PartitionLog, Slice
from headrace.log.reading import read_slice
from headrace.wire.batch import ATTRIBUTE_CONTROL, HEADER_BYTES, BatchHeader, crc_matches, peek
from headrace.wire.errors import ErrorCode, MalformedError, RequestError
from headrace.wire.records import Record, read_records

__all__ = ["READ_BYTES_MAX", "UNPACKED_BYTES_MAX", "Originals", "read_originals"]

READ_BYTES_MAX: Final = 1024 * 1024
"""Of the log at one time (one batch if it is larger), and of the records kept from it (one record
if it is larger)."""
UNPACKED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one batch; a larger one is not opened."""


class Originals(NamedTuple):
    """Records by offset. Of those up to `through` (inclusive) that were wanted and are not here
    there is no more to be had; the later ones have not been looked for."""

    records: dict[int, Record]
    through: int


async def read_originals(log: PartitionLog, wanted: Sequence[GivenUp]) -> Originals:
    """The first ones of `wanted`, which rise and are not empty."""
    nothing = Originals({}, wanted[-1].offset)
    try:
        start = log.offsets().start
        if start > wanted[0].offset:
            return Originals({}, min(start - 1, wanted[-1].offset))
        found = await log.read(wanted[0].offset, READ_BYTES_MAX, at_least_one=True)
    except RequestError as error:
        if error.code == ErrorCode.OFFSET_OUT_OF_RANGE:  # deleted just now
            return Originals({}, wanted[0].offset)
        return nothing
    if not found.size_bytes:
        found.release()
        return nothing
    # Shielded: whoever waits may go away, the thread reads on from the file that is held for it.
    reading = asyncio.get_running_loop().run_in_executor(None, _collect, found, wanted)
    reading.add_done_callback(lambda done: _let_go(done, found))
    try:
        return await asyncio.shield(reading)
    except OSError:
        return nothing


def _let_go(done: "asyncio.Future[Originals]", found: Slice) -> None:
    found.release()
    if not done.cancelled():
        done.exception()  # seen, even if nobody waits for it any more


def _collect(found: Slice, wanted: Sequence[GivenUp]) -> Originals:
    """In a thread: reads, checks and unpacks. Raises OSError."""
    data = memoryview(read_slice(found))
    last = wanted[-1].offset
    offsets = {record.offset for record in wanted}
    records: dict[int, Record] = {}
    kept_bytes = 0
    through = wanted[0].offset
    for header, batch in _batches(data):
        for record in _records(header, batch, offsets):
            size_bytes = _size_bytes(record)
            if records and kept_bytes + size_bytes > READ_BYTES_MAX:
                return Originals(records, record.offset - 1)
            records[record.offset] = record
            kept_bytes += size_bytes
        through = max(through, header.last_offset)
        if through >= last:
            break
    return Originals(records, min(through, last))


def _batches(data: memoryview) -> Iterator[tuple[BatchHeader, memoryview]]:
    position = 0
    while len(data) - position >= HEADER_BYTES:
        header = peek(data, position)
        if header.size_bytes < HEADER_BYTES:
            return
        yield header, data[position : position + header.size_bytes]
        position += header.size_bytes


def _records(header: BatchHeader, batch: memoryview, offsets: set[int]) -> Iterator[Record]:
    """Those of `offsets` in the batch, up to damage; copying damage would give it a good CRC."""
    inside = range(header.base_offset, header.next_offset)
    if not any(offset in inside for offset in offsets) or header.attributes & ATTRIBUTE_CONTROL:
        return
    try:
        if crc_matches(batch, header):
            yield from read_records(batch, decompressed_bytes_max=UNPACKED_BYTES_MAX, only=offsets)
    except MalformedError:
        return


def _size_bytes(record: Record) -> int:
    size = len(record.key or b"") + len(record.value or b"")
    return size + sum(len(name) + len(value or b"") for name, value in record.headers)
