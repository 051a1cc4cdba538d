"""Finding by time: the one read that opens batches. Blocks on the disk: threads only.

Timestamps are the producers' and need not rise, so the search is for the first record, in the
order of offsets, that is not older (Kafka's ListOffsets), and for the first of the youngest.

What must not enter: which segments are worth looking into (`local`).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from headrace.log.index import Entry
from headrace.log.segment import Placed, ReadAt, walk
from headrace.wire.errors import MalformedError
from headrace.wire.records import first_at_or_after, max_timestamp_record, read_records

__all__ = ["Found", "Readable", "find_first", "find_youngest"]

OPENED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one batch, decompressed; of what unfolds to more is said what its header says. Several
searches go on at one time, each for whoever asks."""


class Readable(NamedTuple):
    """What may be found in a segment: from offset `start` on, up to position `limit`; batches are
    walked from `entry`."""

    read: ReadAt
    entry: Entry
    start: int
    limit: int


class Found(NamedTuple):
    offset: int
    timestamp_ms: int


def find_first(readable: Readable, timestamp_ms: int) -> Found | None:
    """The first record of at least `timestamp_ms`. Raises BadBatchError, OSError."""
    for placed in _walk(readable):
        if placed.max_timestamp >= timestamp_ms and placed.next_offset > readable.start:
            found = _first_in(readable, placed, timestamp_ms)
            if found is not None:
                return found
    return None


def find_youngest(readable: Readable) -> Found | None:
    """The first record of the greatest timestamp, by what the headers of batches say. Raises
    BadBatchError, OSError."""
    at_start: Found | None = None
    youngest: Placed | None = None
    for placed in _walk(readable):
        if placed.base_offset >= readable.start:
            if youngest is None or placed.max_timestamp > youngest.max_timestamp:
                youngest = placed
        elif placed.next_offset > readable.start:
            at_start = _youngest_in(readable, placed)
    found = None if youngest is None else _youngest_in(readable, youngest)
    if at_start is None or (found is not None and found.timestamp_ms > at_start.timestamp_ms):
        return found
    return at_start


def _walk(readable: Readable) -> Iterator[Placed]:
    entry = readable.entry
    return walk(readable.read, entry.position, entry.offset, readable.limit)


def _first_in(readable: Readable, placed: Placed, timestamp_ms: int) -> Found | None:
    batch = readable.read(placed.end - placed.position, placed.position)
    try:
        if placed.base_offset >= readable.start:
            found = first_at_or_after(batch, timestamp_ms, decompressed_bytes_max=OPENED_BYTES_MAX)
            return None if found is None else Found(*found)
        for record in read_records(batch, decompressed_bytes_max=OPENED_BYTES_MAX):
            if record.offset >= readable.start and record.timestamp_ms >= timestamp_ms:
                return Found(record.offset, record.timestamp_ms)
    except MalformedError:
        return _by_header(readable, placed)
    return None


def _youngest_in(readable: Readable, placed: Placed) -> Found | None:
    batch = readable.read(placed.end - placed.position, placed.position)
    try:
        if placed.base_offset >= readable.start:
            found = max_timestamp_record(batch, decompressed_bytes_max=OPENED_BYTES_MAX)
            return None if found is None else Found(*found)
        there = [
            record
            for record in read_records(batch, decompressed_bytes_max=OPENED_BYTES_MAX)
            if record.offset >= readable.start
        ]
        record = max(there, key=lambda record: record.timestamp_ms, default=None)
        return None if record is None else Found(record.offset, record.timestamp_ms)
    except MalformedError:
        return _by_header(readable, placed)


def _by_header(readable: Readable, placed: Placed) -> Found:
    """For records that cannot be opened (they are their producer's matter): not too late."""
    return Found(max(placed.base_offset, readable.start), placed.max_timestamp)
