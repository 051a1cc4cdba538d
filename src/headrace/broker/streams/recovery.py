"""Where a persistent stream is, from what the log and the catalog know of it.

The log is right as long as it knows the producer: its last batch tells the sequence, and the offset
of its last message (`stream.OFFSET_HEADER`). The log forgets a producer that was idle for a day, or
whose last batch retention has deleted; the catalog's row was brought up to date long before that
(`persistent.SAVE_INTERVAL_S`). No append ever writes to the catalog.
What must not enter: SQL, who asks.
"""

import asyncio
from typing import Final, NamedTuple, Self

from headrace.broker.streams.stream import OFFSET_HEADER, Position
from headrace.catalog.streams import PersistentStreamRow
from headrace.log.contract import LastBatch, PartitionLog, Slice
from headrace.log.reading import read_slice
from headrace.wire.batch import HEADER_BYTES, crc_matches, peek
from headrace.wire.errors import ErrorCode, MalformedError, RequestError
from headrace.wire.records import read_records

__all__ = ["Known", "recovered_position"]

_SEQUENCE_MASK: Final = 0x7FFF_FFFF


class Known(NamedTuple):
    """What the catalog has of a stream."""

    stream_id: str
    producer_id: int
    next_offset: int
    next_sequence: int

    @classmethod
    def of(cls, row: PersistentStreamRow) -> Self:
        return cls(row.stream_id, row.producer_id, row.next_offset, row.next_sequence)


async def recovered_position(log: PartitionLog, row: Known) -> Position:
    """Where the stream goes on; nobody may be writing it.

    Raises RequestError KAFKA_STORAGE_ERROR if the log cannot be read, or no longer has the batch
    that would tell: then nobody can say, and guessing could write messages twice.
    """
    last = log.last_batch(row.producer_id)
    if last is None:
        return Position(row.next_offset, row.next_sequence)
    next_sequence = (last.last_sequence + 1) & _SEQUENCE_MASK
    if next_sequence == row.next_sequence:
        return Position(row.next_offset, next_sequence)
    try:
        found = await log.read(last.base_offset, 1, at_least_one=True)
        offset = await asyncio.get_running_loop().run_in_executor(None, _last_offset, found, last)
    except (OSError, MalformedError) as error:
        raise _untold(row, str(error)) from error
    except RequestError as error:
        raise _untold(row, error.message) from error
    return Position(offset + 1, next_sequence)


def _last_offset(found: Slice, last: LastBatch) -> int:
    """In a thread. Raises OSError, MalformedError."""
    try:
        data = read_slice(found)
    finally:
        found.release()
    if len(data) < HEADER_BYTES:
        raise MalformedError("the batch is not there")
    header = peek(data)
    batch = memoryview(data)[: header.size_bytes]
    if header.base_offset != last.base_offset or not crc_matches(batch, header):
        raise MalformedError("the batch is damaged")
    for record in read_records(batch, only={last.last_offset}):
        for name, value in record.headers:
            if name == OFFSET_HEADER and value is not None:
                return int(value)
        return last.last_sequence
    raise MalformedError("its last record is not there any more")


def _untold(row: Known, why: str) -> RequestError:
    return RequestError(
        ErrorCode.KAFKA_STORAGE_ERROR,
        f"where the persistent stream {row.stream_id} is cannot be read from the log: {why}",
    )
