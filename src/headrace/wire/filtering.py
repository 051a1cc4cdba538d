"""A batch with fewer records: what compaction makes of a batch, without reading what it keeps.

A record is found by its key and told apart by whether it has a value; those that stay keep their
bytes. What `wire.batch` says of the header stays too, with these exceptions (KIP-98, KIP-534):

- *delete horizon*: with attribute bit 6 set, base_timestamp is the time (ms) after which the
  batch's tombstones may go. The records' timestamp deltas are to that time, so readers that do
  not know the bit read right timestamps.
- *an empty batch* has no records and no codec, its timestamps are -1. It keeps the base offset,
  last offset delta, producer id, epoch and sequence of the batch that it was, so that what is
  known of a producer can be rebuilt from the log.
- *a hole* is an empty batch of no producer. It stands for offsets of which nothing is left, so a
  log has no gap: every batch begins where the one before it ends, and what is missing elsewhere
  is damage.

What must not enter: which records stay (`log.cleaning`).
"""

import itertools
import struct
from typing import Final

from headrace.wire.batch import (
    ATTRIBUTE_CODEC_MASK,
    ATTRIBUTE_DELETE_HORIZON,
    ATTRIBUTE_LOG_APPEND_TIME,
    HEADER_BYTES,
    LENGTH_OVERHEAD_BYTES,
    BatchHeader,
    crc_of,
)
from headrace.wire.compression import compress
from headrace.wire.errors import MalformedError
from headrace.wire.records import open_records
from headrace.wire.varint import read_varint, read_varlong, write_varint

__all__ = [
    "RecordKey",
    "delete_horizon_ms",
    "emptied",
    "hole",
    "keyless_records",
    "record_keys",
    "with_records",
]

HOLE_OFFSETS_MAX: Final = 1 << 31
"""Offsets that one hole can stand for."""

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_CRC: Final = struct.Struct(">I")
_CRC_POSITION: Final = 17
_NO_TIMESTAMP: Final = -1
_TIMESTAMP_MAX: Final = (1 << 63) - 1
_ONE_BYTE_MAX: Final = 0x7F
_NULL: Final = 0x01
"""The length -1."""


RecordKey = tuple[bytes | None, int, bool]
"""What decides about a record: its key, its offset delta, whether it has a value. A plain tuple,
since one is made for every record."""


def record_keys(header: BatchHeader, data: bytes) -> list[RecordKey]:
    """Of the records in `data`, which `open_records` gave, in their order. Raises MalformedError.

    Values and headers are not looked into. Most numbers take one byte, so that is looked for
    before a function is called: this is done for every record of a compacted log.
    """
    found: list[RecordKey] = []
    position, last_delta, size = 0, -1, len(data)
    for number in range(header.records_count):
        try:
            length, position = _varint(data, position)
            end = position + length
            position += 2  # attributes, and a byte of the timestamp delta
            while data[position - 1] > _ONE_BYTE_MAX:
                position += 1
            byte = data[position]
            if byte <= _ONE_BYTE_MAX:
                delta, position = byte >> 1, position + 1
            else:
                delta, position = _varint(data, position)
            byte = data[position]
            if byte <= _ONE_BYTE_MAX:
                key_bytes, start = (byte >> 1) ^ -(byte & 1), position + 1
            else:
                key_bytes, start = _varint(data, position)
            position = start + key_bytes if key_bytes > 0 else start
            has_value = data[position] != _NULL
        except IndexError as error:
            raise MalformedError(f"record {number} of the batch ends too early") from error
        if end > size or position >= end or key_bytes < -1:
            raise MalformedError(f"record {number} of the batch does not fill its length")
        if not last_delta < delta <= header.last_offset_delta:
            raise MalformedError(f"record {number} of the batch has offset delta {delta}")
        key = data[start : start + key_bytes] if key_bytes >= 0 else None
        found.append((key, delta, has_value))
        last_delta, position = delta, end
    if position != size:
        raise MalformedError(f"{size - position} bytes follow the last record of the batch")
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """As `read_varint`, quicker for one and two bytes."""
    byte = data[position]
    if byte <= _ONE_BYTE_MAX:
        return (byte >> 1) ^ -(byte & 1), position + 1
    second = data[position + 1]
    if second <= _ONE_BYTE_MAX:
        value = byte & _ONE_BYTE_MAX | second << 7
        return (value >> 1) ^ -(value & 1), position + 2
    return read_varint(data, position)


def keyless_records(
    batch: bytes | memoryview, *, decompressed_bytes_max: int, count_max: int
) -> list[int]:
    """The places (0 is the first) of the first `count_max` records without a key. Raises
    MalformedError, also for records of more than `decompressed_bytes_max` bytes."""
    records = record_keys(*open_records(batch, decompressed_bytes_max))
    keyless = (place for place, (key, _, _) in enumerate(records) if key is None)
    return list(itertools.islice(keyless, count_max))


def delete_horizon_ms(header: BatchHeader) -> int | None:
    """When the batch's tombstones may go; None if that was not decided yet."""
    return header.base_timestamp if header.attributes & ATTRIBUTE_DELETE_HORIZON else None


def with_records(
    header: BatchHeader, data: bytes, kept: bytearray, horizon_ms: int | None
) -> bytes:
    """The batch of `header` with those records of its open block `data`, which `record_keys` has
    been through, that `kept` has a 1 for: one at least. `horizon_ms` is the delete horizon to set,
    or to keep. Raises MalformedError for times that are none."""
    base_timestamp, attributes = header.base_timestamp, header.attributes
    if horizon_ms is not None:
        base_timestamp = horizon_ms
        attributes |= ATTRIBUTE_DELETE_HORIZON
    shift = header.base_timestamp - base_timestamp
    block = bytearray()
    youngest = -_TIMESTAMP_MAX
    position = 0
    for stays in kept:
        length, start = _varint(data, position)
        position = start + length
        if stays:
            timestamp_delta, after = read_varlong(data, start + 1)
            timestamp_ms = header.base_timestamp + timestamp_delta
            if max(abs(timestamp_ms), abs(timestamp_delta + shift)) > _TIMESTAMP_MAX:
                raise MalformedError(f"a record has timestamp {timestamp_ms}")
            youngest = max(youngest, timestamp_ms)
            if shift:
                deltas = bytearray(data[start : start + 1])
                write_varint(deltas, timestamp_delta + shift)
                write_varint(block, len(deltas) + position - after)
                block += deltas
                block += data[after:position]
            else:
                write_varint(block, length)
                block += data[start:position]
    if attributes & ATTRIBUTE_LOG_APPEND_TIME:
        youngest = header.max_timestamp
    return _built(
        header._replace(
            attributes=attributes,
            base_timestamp=base_timestamp,
            max_timestamp=youngest,
            records_count=kept.count(1),
        ),
        compress(attributes & ATTRIBUTE_CODEC_MASK, bytes(block)),
    )


def emptied(header: BatchHeader) -> bytes:
    """The batch without its records."""
    attributes = header.attributes & ~(ATTRIBUTE_CODEC_MASK | ATTRIBUTE_DELETE_HORIZON)
    return _built(
        header._replace(
            attributes=attributes,
            base_timestamp=_NO_TIMESTAMP,
            max_timestamp=_NO_TIMESTAMP,
            records_count=0,
        ),
        b"",
    )


def hole(base_offset: int, next_offset: int, leader_epoch: int) -> bytes:
    """Batches that stand for the offsets [base_offset, next_offset): nearly always one."""
    out = b""
    while base_offset < next_offset:
        last_delta = min(next_offset - base_offset, HOLE_OFFSETS_MAX) - 1
        header = BatchHeader(
            *(base_offset, 0, leader_epoch, 2, 0, 0, last_delta),
            *(_NO_TIMESTAMP, _NO_TIMESTAMP, -1, -1, -1, 0),
        )
        out += _built(header, b"")
        base_offset += last_delta + 1
    return out


def _built(header: BatchHeader, block: bytes) -> bytes:
    length = HEADER_BYTES - LENGTH_OVERHEAD_BYTES + len(block)
    built = bytearray(_HEADER.pack(*header._replace(length=length)))
    built += block
    _CRC.pack_into(built, _CRC_POSITION, crc_of(built))
    return bytes(built)
