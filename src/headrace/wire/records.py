"""The records inside a batch: iterate, build, find by time.

What follows the 61 bytes of header (`wire.batch`), after decompression. `varint` is zigzag:

    length            varint   bytes that follow
    attributes        i8       unused, 0
    timestamp_delta   varlong  ms, to base_timestamp
    offset_delta      varint   to base_offset
    key               varint length (-1: null), bytes
    value             varint length (-1: null), bytes
    headers           varint count, each: key (varint length, UTF-8), value (like key of a record)

Nothing on the produce and fetch road comes here: a batch is a sealed letter there. What must not
enter: where batches come from or go to.
"""

import struct
from collections.abc import Container, Iterator, Sequence
from typing import Final, NamedTuple

from headrace.wire import batch as batches
from headrace.wire.compression import DECOMPRESSED_BYTES_MAX, Codec, compress, decompress
from headrace.wire.errors import MalformedError
from headrace.wire.varint import read_varint, read_varlong, write_varint

__all__ = [
    "BatchBuilder",
    "Record",
    "build_batch",
    "encode_record",
    "first_at_or_after",
    "max_timestamp_record",
    "open_records",
    "read_records",
    "record_bytes_max",
]

Header = tuple[str, bytes | None]

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_CRC: Final = struct.Struct(">I")
_CRC_POSITION: Final = 17
_HEADER_BYTES_MIN: Final = 2
_TIMESTAMP_MAX: Final = (1 << 63) - 1
_VARINT_BYTES_MAX: Final = 5
_AROUND_BYTES_MAX: Final = 1 + 5 * _VARINT_BYTES_MAX + 10
"""Of a record: attributes, five varints, and the timestamp delta."""


class Record(NamedTuple):
    """`offset` is -1 for a record that has none yet. Times in ms since 1970."""

    offset: int = -1
    timestamp_ms: int = -1
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[Header, ...] = ()


def read_records(
    batch: bytes | memoryview,
    *,
    decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
    only: Container[int] | None = None,
) -> Iterator[Record]:
    """The records of `batch`, one whole batch and nothing after it, in the order of offsets; with
    `only` those whose offsets are in it, and the others are stepped over unopened.

    The CRC is the caller's matter (`batch.crc_matches`). Raises MalformedError, also between two
    records, for anything that is no batch, and DecompressedSizeError, which is one, for records
    that take more than `decompressed_bytes_max` bytes.
    """
    header, data = open_records(batch, decompressed_bytes_max)
    append_time = header.attributes & batches.ATTRIBUTE_LOG_APPEND_TIME
    for offset, timestamp_ms, position, end in _walk(header, data):
        if only is not None and offset not in only:
            continue
        try:
            key, position = _read_bytes(data, position, end)
            value, position = _read_bytes(data, position, end)
            headers, position = _read_headers(data, position, end)
        except IndexError as error:
            raise MalformedError(f"record {offset} ends too early") from error
        if position != end:
            raise MalformedError(f"record {offset} does not fill its length")
        if append_time:
            timestamp_ms = header.max_timestamp
        yield Record(offset, timestamp_ms, key, value, headers)


def first_at_or_after(
    batch: bytes | memoryview,
    timestamp_ms: int,
    *,
    decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
) -> tuple[int, int] | None:
    """(offset, timestamp in ms) of the first record that is not older; None if all are.

    Raises as read_records does, but looks at offsets and times only.
    """
    header = _peek(batch)
    if header.max_timestamp < timestamp_ms or header.records_count == 0:
        return None
    if header.attributes & batches.ATTRIBUTE_LOG_APPEND_TIME:
        return header.base_offset, header.max_timestamp
    for offset, found_ms, _, _ in _walk(*open_records(batch, decompressed_bytes_max)):
        if found_ms >= timestamp_ms:
            return offset, found_ms
    return None


def max_timestamp_record(
    batch: bytes | memoryview, *, decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> tuple[int, int] | None:
    """(offset, timestamp in ms) of the first of the youngest records; None if there are none.

    Raises as read_records does, but looks at offsets and times only.
    """
    header = _peek(batch)
    if header.records_count == 0:
        return None
    if header.attributes & batches.ATTRIBUTE_LOG_APPEND_TIME:
        return header.base_offset, header.max_timestamp
    walk = _walk(*open_records(batch, decompressed_bytes_max))
    offset, timestamp_ms, _, _ = max(walk, key=lambda place: place[1])  # the first of equals
    return offset, timestamp_ms


def build_batch(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    codec: int = Codec.NONE,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    append_time_ms: int | None = None,
    transactional: bool = False,
    control: bool = False,
    leader_epoch: int = -1,
) -> bytes:
    """A batch of `records`, whose offsets count up from `base_offset` whatever they were.

    With `append_time_ms` that is the time of all of them (LogAppendTime). Raises ValueError for no
    records at all, or a codec that does not exist.
    """
    if not records:
        raise ValueError("a batch needs at least one record")
    base_timestamp = records[0].timestamp_ms
    attributes = int(Codec(codec))
    attributes |= batches.ATTRIBUTE_TRANSACTIONAL if transactional else 0
    attributes |= batches.ATTRIBUTE_CONTROL if control else 0
    max_timestamp = max(record.timestamp_ms for record in records)
    if append_time_ms is not None:
        attributes |= batches.ATTRIBUTE_LOG_APPEND_TIME
        max_timestamp = append_time_ms
    body = bytearray()
    for delta, record in enumerate(records):
        body += encode_record(record, record.timestamp_ms - base_timestamp, delta)
    return bytes(
        _seal(
            compress(codec, bytes(body)),
            len(records),
            (base_timestamp, max_timestamp),
            (producer_id, producer_epoch, base_sequence),
            base_offset=base_offset,
            leader_epoch=leader_epoch,
            attributes=attributes,
        )
    )


class BatchBuilder:
    """An uncompressed batch that grows record by record up to a size; offsets count up from 0."""

    def __init__(self, size_bytes_max: int) -> None:
        """Of the whole batch, its header included."""
        self.records_count = 0
        self._room_bytes = size_bytes_max - batches.HEADER_BYTES
        self._body = bytearray()
        self._base_timestamp = self._max_timestamp = -1

    def add(self, record: Record) -> bool:
        """False, and nothing is added, if the batch would grow too large."""
        if not self.records_count:
            self._base_timestamp = self._max_timestamp = record.timestamp_ms
        delta_ms = record.timestamp_ms - self._base_timestamp
        encoded = encode_record(record, delta_ms, self.records_count)
        if len(self._body) + len(encoded) > self._room_bytes:
            return False
        self._body += encoded
        self._max_timestamp = max(self._max_timestamp, record.timestamp_ms)
        self.records_count += 1
        return True

    def build(self) -> bytearray:
        """The batch, as a log takes it. Raises ValueError if it has no records."""
        if not self.records_count:
            raise ValueError("a batch needs at least one record")
        times = self._base_timestamp, self._max_timestamp
        return _seal(self._body, self.records_count, times, (-1, -1, -1))


def _seal(
    block: bytes | bytearray,
    records_count: int,
    times_ms: tuple[int, int],
    producer: tuple[int, int, int],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    attributes: int = 0,
) -> bytearray:
    """The header, with the CRC, and `block` after it. Times: the first, the greatest; producer:
    id, epoch, sequence."""
    length = batches.HEADER_BYTES - batches.LENGTH_OVERHEAD_BYTES + len(block)
    built = bytearray(
        _HEADER.pack(
            *(base_offset, length, leader_epoch, 2, 0, attributes, records_count - 1),
            *(*times_ms, *producer, records_count),
        )
    )
    built += block
    _CRC.pack_into(built, _CRC_POSITION, batches.crc_of(built))
    return built


def _peek(batch: bytes | memoryview) -> batches.BatchHeader:
    """The header of what is really one batch."""
    size = len(batch)
    if size < batches.HEADER_BYTES:
        raise MalformedError(f"a record batch has at least 61 bytes, this one {size}")
    header = batches.peek(batch)
    if header.magic != 2:
        raise MalformedError(f"record format magic {header.magic} is not supported; only 2 is")
    if header.size_bytes != size:
        raise MalformedError(f"the batch says {header.size_bytes} bytes, {size} are there")
    if header.records_count < 0 or header.last_offset_delta < 0:
        raise MalformedError(
            f"{header.records_count} records with last offset delta {header.last_offset_delta}"
        )
    return header


def open_records(
    batch: bytes | memoryview, decompressed_bytes_max: int
) -> tuple[batches.BatchHeader, bytes]:
    """The header of one whole batch, and its records in the clear. Raises MalformedError."""
    header = _peek(batch)
    block = memoryview(batch)[batches.HEADER_BYTES :]
    codec = header.attributes & batches.ATTRIBUTE_CODEC_MASK
    if header.records_count == 0 and not block:  # what compaction may leave
        return header, b""
    data = decompress(codec, block, bytes_max=decompressed_bytes_max)
    if header.records_count * batches.RECORD_BYTES_MIN > len(data):
        raise MalformedError(f"{header.records_count} records cannot fit in {len(data)} bytes")
    return header, data


def _walk(header: batches.BatchHeader, data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(offset, timestamp in ms, position of the key, end) of each record in `data`.

    Makes sure that offsets rise and stay inside the batch, and that nothing is left over.
    """
    position = 0
    last_delta = -1
    for number in range(header.records_count):
        try:
            length, position = read_varint(data, position)
            end = position + length
            if length < 0 or end > len(data):
                raise MalformedError(f"record {number} of the batch has length {length}")
            timestamp_delta, position = read_varlong(data, position + 1)
            offset_delta, position = read_varint(data, position)
        except IndexError as error:
            raise MalformedError(f"record {number} of the batch ends too early") from error
        timestamp_ms = header.base_timestamp + timestamp_delta
        if not last_delta < offset_delta <= header.last_offset_delta:
            raise MalformedError(f"record {number} of the batch has offset delta {offset_delta}")
        if not -_TIMESTAMP_MAX <= timestamp_ms <= _TIMESTAMP_MAX:
            raise MalformedError(f"record {number} of the batch has timestamp {timestamp_ms}")
        yield header.base_offset + offset_delta, timestamp_ms, position, end
        last_delta = offset_delta
        position = end
    if position != len(data):
        raise MalformedError(f"{len(data) - position} bytes follow the last record of the batch")


def _read_bytes(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    length, position = read_varint(data, position)
    if length == -1:
        return None, position
    stop = position + length
    if length < 0 or stop > end:
        raise MalformedError(f"a field of a record has length {length}")
    return data[position:stop], stop


def _read_headers(data: bytes, position: int, end: int) -> tuple[tuple[Header, ...], int]:
    if data[position] == 0:  # as good as always
        return (), position + 1
    count, position = read_varint(data, position)
    if count < 0 or count * _HEADER_BYTES_MIN > end - position:
        raise MalformedError(f"a record has {count} headers")
    headers = []
    for _ in range(count):
        key, position = _read_bytes(data, position, end)
        value, position = _read_bytes(data, position, end)
        if key is None:
            raise MalformedError("a record has a header without a key")
        try:
            headers.append((key.decode(), value))
        except UnicodeDecodeError as error:
            raise MalformedError("a record has a header whose key is not UTF-8") from error
    return tuple(headers), position


def encode_record(record: Record, timestamp_delta_ms: int, offset_delta: int) -> bytearray:
    """The record with its length before it, as it stands in a batch."""
    out = bytearray(1)  # attributes
    write_varint(out, timestamp_delta_ms)
    write_varint(out, offset_delta)
    for field in (record.key, record.value):
        _write_bytes(out, field)
    write_varint(out, len(record.headers))
    for key, value in record.headers:
        _write_bytes(out, key.encode())
        _write_bytes(out, value)
    framed = bytearray()
    write_varint(framed, len(out))
    framed += out
    return framed


def record_bytes_max(record: Record) -> int:
    """The most bytes that the record can take in a batch."""
    size = _AROUND_BYTES_MAX + len(record.key or b"") + len(record.value or b"")
    for key, value in record.headers:
        size += 2 * _VARINT_BYTES_MAX + 4 * len(key) + len(value or b"")
    return size


def _write_bytes(out: bytearray, field: bytes | None) -> None:
    if field is None:
        write_varint(out, -1)
    else:
        write_varint(out, len(field))
        out += field
