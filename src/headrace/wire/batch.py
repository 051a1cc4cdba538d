"""Record batch v2: the unit that is sent, checked, stored and read, without opening it.

The layout (Kafka protocol, "Record Batch"; all integers big-endian). A batch is stored on disk
exactly as it goes over the wire:

    byte  field                 type  who writes it
    0     base_offset           i64   the log, on append            (outside the CRC)
    8     length                i32   bytes that follow this field; the batch is 12 + length long
    12    leader_epoch          i32   the log, on append            (outside the CRC)
    16    magic                 i8    2; nothing else is accepted
    17    crc                   u32   CRC-32C of bytes 21 to the end
    21    attributes            i16   bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control,
                                      6 delete horizon (`wire.filtering`; set by the log only)
    23    last_offset_delta     i32   records_count - 1 from a client
    27    base_timestamp        i64   ms
    35    max_timestamp         i64   ms
    43    producer_id           i64   -1: not idempotent
    51    producer_epoch        i16
    53    base_sequence         i32
    57    records_count         i32
    61    records               the rest, compressed as one block when a codec is set

Reading what is inside `records` belongs to `wire.records`.
"""

import struct
from typing import Final, NamedTuple

from headrace.wire.compression import DECOMPRESSED_BYTES_MAX
from headrace.wire.crc import crc32c
from headrace.wire.errors import ErrorCode, RequestError

__all__ = [
    "ATTRIBUTE_CODEC_MASK",
    "ATTRIBUTE_CONTROL",
    "ATTRIBUTE_DELETE_HORIZON",
    "ATTRIBUTE_LOG_APPEND_TIME",
    "ATTRIBUTE_TRANSACTIONAL",
    "CRC_START",
    "HEADER_BYTES",
    "LENGTH_OVERHEAD_BYTES",
    "RECORDS_MAX",
    "RECORD_BYTES_MIN",
    "BatchHeader",
    "check_from_producer",
    "check_timestamps",
    "crc_matches",
    "crc_of",
    "peek",
    "stamp",
    "stamp_append_time",
]

HEADER_BYTES: Final = 61
LENGTH_OVERHEAD_BYTES: Final = 12
"""base_offset and length, which `length` does not count."""
CRC_START: Final = 21

ATTRIBUTE_CODEC_MASK: Final = 0x07
ATTRIBUTE_LOG_APPEND_TIME: Final = 0x08
ATTRIBUTE_TRANSACTIONAL: Final = 0x10
ATTRIBUTE_CONTROL: Final = 0x20
ATTRIBUTE_DELETE_HORIZON: Final = 0x40

_NO_TIMESTAMP: Final = -1

RECORD_BYTES_MIN: Final = 7
"""Length, attributes, two deltas, key, value and headers take a byte each at least."""

RECORDS_MAX: Final = DECOMPRESSED_BYTES_MAX // RECORD_BYTES_MIN
"""Of a batch, however well it is compressed."""

_CODEC_LAST: Final = 4
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_OFFSET: Final = struct.Struct(">q")
_EPOCH: Final = struct.Struct(">i")
_CRC: Final = struct.Struct(">I")
_ATTRIBUTES: Final = struct.Struct(">h")
_TIMESTAMP: Final = struct.Struct(">q")


class BatchHeader(NamedTuple):
    """The 61 bytes before the records. Offsets in records, times in ms, `length` in bytes."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records_count: int

    @property
    def size_bytes(self) -> int:
        """The whole batch, from base_offset to the last record."""
        return LENGTH_OVERHEAD_BYTES + self.length

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1


def peek(buffer: bytes | bytearray | memoryview, position: int = 0) -> BatchHeader:
    """The header at `position`. Raises struct.error if fewer than 61 bytes are left."""
    return BatchHeader._make(_HEADER.unpack_from(buffer, position))


def crc_of(batch: bytes | bytearray | memoryview) -> int:
    """The CRC-32C that the batch should carry."""
    return crc32c(memoryview(batch)[CRC_START:])


def crc_matches(batch: bytes | bytearray | memoryview, header: BatchHeader) -> bool:
    """Whether `batch` (one whole batch and nothing after it) holds what its producer sent."""
    return crc_of(batch) == header.crc


def check_from_producer(batch: memoryview) -> BatchHeader:
    """What must hold before a producer's bytes may be appended; returns the header.

    Raises RequestError: CORRUPT_MESSAGE for a wrong length or CRC, INVALID_RECORD for a wrong
    magic, a count that does not fit the offsets or the bytes, more than one batch, a control
    batch, or a producer id without a sequence (KIP-98), UNSUPPORTED_COMPRESSION_TYPE for a codec
    that does not exist, INVALID_TIMESTAMP for an append time that the log did not set.
    """
    size = len(batch)
    if size < HEADER_BYTES:
        raise RequestError(
            ErrorCode.CORRUPT_MESSAGE, f"a record batch has at least 61 bytes, this one {size}"
        )
    header = BatchHeader._make(_HEADER.unpack_from(batch))
    if header.magic != 2:
        raise RequestError(
            ErrorCode.INVALID_RECORD,
            f"record format magic {header.magic} is not supported; only 2 is",
        )
    length = header.length + LENGTH_OVERHEAD_BYTES
    if length != size:
        raise _wrong_length(length, size)
    if crc32c(batch[CRC_START:]) != header.crc:
        raise RequestError(ErrorCode.CORRUPT_MESSAGE, "the batch does not match its CRC-32C")
    if header.records_count <= 0 or header.last_offset_delta != header.records_count - 1:
        raise RequestError(
            ErrorCode.INVALID_RECORD,
            f"{header.records_count} records with last offset delta {header.last_offset_delta}",
        )
    attributes = header.attributes
    if attributes and not 0 < attributes <= _CODEC_LAST:
        _check_attributes(attributes)
    if header.records_count * RECORD_BYTES_MIN > size - HEADER_BYTES:
        _check_count(header.records_count, size - HEADER_BYTES, attributes)
    if header.producer_id >= 0 and (header.base_sequence < 0 or header.producer_epoch < 0):
        raise RequestError(
            ErrorCode.INVALID_RECORD,
            f"producer {header.producer_id} sent sequence {header.base_sequence}, "
            f"epoch {header.producer_epoch}",
        )
    return header


def _wrong_length(length: int, size: int) -> RequestError:
    if HEADER_BYTES <= length < size:
        return RequestError(
            ErrorCode.INVALID_RECORD, "a produce request holds one record batch a partition"
        )
    return RequestError(
        ErrorCode.CORRUPT_MESSAGE, f"the batch says {length} bytes, {size} were sent"
    )


def _check_count(count: int, block_bytes: int, attributes: int) -> None:
    """Of records that take more than `block_bytes`, which they may if these are compressed; but
    what nobody would open has to be refused while it is known whose it is."""
    if not attributes & ATTRIBUTE_CODEC_MASK:
        raise RequestError(
            ErrorCode.INVALID_RECORD, f"{count} records cannot fit in {block_bytes} bytes"
        )
    if count > RECORDS_MAX:
        raise RequestError(
            ErrorCode.INVALID_RECORD,
            f"{count} records in a batch; {RECORDS_MAX} are the most that anybody opens",
        )


def _check_attributes(attributes: int) -> None:
    if attributes & ATTRIBUTE_CONTROL:
        raise RequestError(ErrorCode.INVALID_RECORD, "control batches come from the broker only")
    if attributes & ATTRIBUTE_CODEC_MASK > _CODEC_LAST:
        raise RequestError(
            ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
            f"there is no codec {attributes & ATTRIBUTE_CODEC_MASK}",
        )
    if attributes & ATTRIBUTE_LOG_APPEND_TIME:
        raise RequestError(
            ErrorCode.INVALID_TIMESTAMP, "only the broker says when a batch was appended"
        )
    if attributes & ATTRIBUTE_DELETE_HORIZON:
        raise RequestError(
            ErrorCode.INVALID_RECORD, "only the broker says how long tombstones are kept"
        )


def check_timestamps(header: BatchHeader, earliest_ms: int, latest_ms: int) -> None:
    """Whether the batch's first record is not too old and its youngest not too young, as far as
    the header says; -1 is no timestamp (KIP-937, which looks at each record).

    Raises RequestError INVALID_TIMESTAMP.
    """
    if header.max_timestamp > latest_ms:
        raise RequestError(
            ErrorCode.INVALID_TIMESTAMP,
            f"a timestamp of {header.max_timestamp} ms; at most {latest_ms} is accepted now "
            "(message.timestamp.after.max.ms)",
        )
    if header.base_timestamp < earliest_ms and header.base_timestamp != _NO_TIMESTAMP:
        raise RequestError(
            ErrorCode.INVALID_TIMESTAMP,
            f"a timestamp of {header.base_timestamp} ms; at least {earliest_ms} is accepted now "
            "(message.timestamp.before.max.ms)",
        )


def stamp(batch: memoryview | bytearray, base_offset: int, leader_epoch: int) -> None:
    """Write, in place, the two fields that are the log's to write; the CRC does not cover them."""
    _OFFSET.pack_into(batch, 0, base_offset)
    _EPOCH.pack_into(batch, 12, leader_epoch)


def stamp_append_time(batch: memoryview | bytearray, now_ms: int) -> None:
    """Make `now_ms` the time of every record (message.timestamp.type=LogAppendTime), new CRC."""
    (attributes,) = _ATTRIBUTES.unpack_from(batch, CRC_START)
    _ATTRIBUTES.pack_into(batch, CRC_START, attributes | ATTRIBUTE_LOG_APPEND_TIME)
    _TIMESTAMP.pack_into(batch, 35, now_ms)
    _CRC.pack_into(batch, 17, crc_of(batch))
