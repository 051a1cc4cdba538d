"""Produce, read and written by hand: the hot road decodes nothing that it need not.

Request v3 to v13 (flexible from v9; topics by id instead of name from v13, KIP-516):

    transactional_id nullable string | acks i16 | timeout_ms i32
    topics: array of (name string or topic_id uuid, partitions: array of (index i32, records bytes))

Response (fields by version; flexible from v9):

    topics: array of (name or topic_id, partitions: array of
        (index i32, error_code i16, base_offset i64, log_append_time_ms i64, log_start_offset i64
         from v5, record_errors array and error_message nullable string from v8))
    throttle_time_ms i32

Batches stay views into the connection's buffer: use them before the next read.
"""

import struct
from typing import Final, NamedTuple
from uuid import UUID

from headrace.wire.cursor import (
    check_count,
    check_end,
    classic_string,
    compact_string,
    read_uvarint,
    runs_by_topic,
    skip_tagged_fields,
    take,
    write_compact_string,
    write_count,
    write_topic,
)
from headrace.wire.errors import MalformedError

__all__ = [
    "FIRST_VERSION",
    "TOPIC_ID_VERSION",
    "PartitionBatch",
    "PartitionResult",
    "ProduceRequest",
    "read_produce",
    "write_produce",
]

FIRST_VERSION: Final = 3
"""Older ones carry message sets of magic 0 and 1, which no broker since Kafka 4.0 takes."""
TOPIC_ID_VERSION: Final = 13
_FLEXIBLE_VERSION: Final = 9
_TOPICS_MAX: Final = 100_000
_PARTITIONS_MAX: Final = 100_000
"""Of all topics together: six bytes name a partition, and each costs a thousand here."""

_I16: Final = struct.Struct(">h")
_I32: Final = struct.Struct(">i")
_ACKS_TIMEOUT: Final = struct.Struct(">hi")
_RESULT_V3: Final = struct.Struct(">ihqq")
_RESULT_V5: Final = struct.Struct(">ihqqq")
_PARTITION: Final = struct.Struct(">ii")

_ONE_VERSIONS: Final = frozenset({5, 6, 7, 9, 10, 11, 12})
_ONE_NAME_CHARS_MAX: Final = 126
"""Longer ones have a length of two bytes where it is compact; topics that exist are ASCII."""
_ONE_V5: Final = struct.Struct(">iiih"), struct.Struct(">iihqqqi")
_ONE_V9: Final = struct.Struct(">iibbb"), struct.Struct(">bihqqqbbbbib")
"""Answers for one batch that was appended: what stands before the topic's name, what after."""


class PartitionBatch(NamedTuple):
    """What one partition is asked to append; `topic` is a name, or an id from v13 on."""

    topic: str | UUID
    partition: int
    records: memoryview | None


class ProduceRequest(NamedTuple):
    transactional_id: str | None
    acks: int
    timeout_ms: int
    batches: list[PartitionBatch]
    """In the order sent; batches of one topic entry stand together."""


class PartitionResult(NamedTuple):
    """The answer for the batch at the same place of the request."""

    error_code: int
    base_offset: int
    log_append_time_ms: int
    log_start_offset: int
    error_message: str | None
    record_errors: tuple[tuple[int, str], ...] = ()
    """The places of the records that are to blame, 0 being the batch's first, and why (KIP-467)."""


def read_produce(frame: memoryview, position: int, version: int) -> ProduceRequest:
    """The request body that begins at `position`. Raises MalformedError."""
    try:
        if version >= _FLEXIBLE_VERSION:
            return _read_flexible(frame, position, version)
        return _read_classic(frame, position)
    except (struct.error, UnicodeDecodeError) as problem:
        raise MalformedError(f"Produce v{version}: {problem}") from None


def _read_classic(frame: memoryview, position: int) -> ProduceRequest:
    transactional_id, position = classic_string(frame, position, nullable=True)
    acks, timeout_ms = _ACKS_TIMEOUT.unpack_from(frame, position)
    position += 6
    (topic_count,) = _I32.unpack_from(frame, position)
    position += 4
    check_count(topic_count, _TOPICS_MAX)
    batches: list[PartitionBatch] = []
    for _ in range(topic_count):
        name, position = classic_string(frame, position, nullable=False)
        (partition_count,) = _I32.unpack_from(frame, position)
        position += 4
        check_count(partition_count, _PARTITIONS_MAX - len(batches))
        for _ in range(partition_count):
            index, size = _PARTITION.unpack_from(frame, position)
            position += 8
            records = None
            if size >= 0:
                records = take(frame, position, size)
                position += size
            elif size != -1:
                raise MalformedError(f"records of {size} bytes")
            batches.append(PartitionBatch(name or "", index, records))
    check_end(frame, position)
    return ProduceRequest(transactional_id, acks, timeout_ms, batches)


def _read_flexible(frame: memoryview, position: int, version: int) -> ProduceRequest:
    transactional_id, position = compact_string(frame, position, nullable=True)
    acks, timeout_ms = _ACKS_TIMEOUT.unpack_from(frame, position)
    count, position = read_uvarint(frame, position + 6)
    check_count(count - 1, _TOPICS_MAX)
    batches: list[PartitionBatch] = []
    for _ in range(count - 1):
        topic: str | UUID
        if version >= TOPIC_ID_VERSION:
            topic = UUID(bytes=bytes(take(frame, position, 16)))
            position += 16
        else:
            name, position = compact_string(frame, position, nullable=False)
            topic = name or ""
        partition_count, position = read_uvarint(frame, position)
        check_count(partition_count - 1, _PARTITIONS_MAX - len(batches))
        for _ in range(partition_count - 1):
            (index,) = _I32.unpack_from(frame, position)
            size, position = read_uvarint(frame, position + 4)
            records = None
            if size:
                records = take(frame, position, size - 1)
                position += size - 1
            position = skip_tagged_fields(frame, position)
            batches.append(PartitionBatch(topic, index, records))
        position = skip_tagged_fields(frame, position)
    position = skip_tagged_fields(frame, position)
    check_end(frame, position)
    return ProduceRequest(transactional_id, acks, timeout_ms, batches)


def write_produce(
    request: ProduceRequest, results: list[PartitionResult], correlation_id: int, version: int
) -> bytes:
    """The whole response frame, length prefix included. `results` answers `request.batches` one
    by one."""
    if len(results) == 1 and results[0].error_code == 0 and version in _ONE_VERSIONS:
        batch = request.batches[0]
        if len(batch.topic) <= _ONE_NAME_CHARS_MAX:  # type: ignore[arg-type]
            return _write_one(batch, results[0], correlation_id, version)
    flexible = version >= _FLEXIBLE_VERSION
    out = bytearray(4)
    out += _I32.pack(correlation_id)
    if flexible:
        out.append(0)
    groups = runs_by_topic(request.batches)
    write_count(out, len(groups), flexible)
    for start, end in groups:
        write_topic(out, request.batches[start].topic, flexible)
        write_count(out, end - start, flexible)
        for place in range(start, end):
            _write_result(out, request.batches[place].partition, results[place], version)
        if flexible:
            out.append(0)
    out += b"\0\0\0\0"
    if flexible:
        out.append(0)
    _I32.pack_into(out, 0, len(out) - 4)
    return bytes(out)


def _write_one(
    batch: PartitionBatch, result: PartitionResult, correlation_id: int, version: int
) -> bytes:
    """The frame for one batch that was appended, in a version from 5 on whose topics have names
    that are short: what nearly every producer is told."""
    name = batch.topic.encode()  # type: ignore[union-attr]
    _, base, append_time, log_start, _, _ = result
    if version >= _FLEXIBLE_VERSION:
        before, after = _ONE_V9
        start = before.pack(
            before.size + len(name) + after.size - 4, correlation_id, 0, 2, len(name) + 1
        )
        return (
            start
            + name
            + after.pack(2, batch.partition, 0, base, append_time, log_start, 1, 0, 0, 0, 0, 0)
        )
    before, after = _ONE_V5
    start = before.pack(before.size + len(name) + after.size - 4, correlation_id, 1, len(name))
    return start + name + after.pack(1, batch.partition, 0, base, append_time, log_start, 0)


def _write_result(out: bytearray, index: int, result: PartitionResult, version: int) -> None:
    error, base, append_time, log_start, message, record_errors = result
    if version >= 5:
        out += _RESULT_V5.pack(index, error, base, append_time, log_start)
    else:
        out += _RESULT_V3.pack(index, error, base, append_time)
    if version >= _FLEXIBLE_VERSION:
        write_count(out, len(record_errors), flexible=True)
        for place, why in record_errors:
            out += _I32.pack(place)
            write_compact_string(out, why)
            out.append(0)
        write_compact_string(out, message)
        out.append(0)
    elif version == 8:
        write_count(out, len(record_errors), flexible=False)
        for place, why in record_errors:
            out += _I32.pack(place)
            _write_string(out, why)
        _write_string(out, message)


def _write_string(out: bytearray, value: str | None) -> None:
    text = None if value is None else value.encode()
    out += _I16.pack(-1 if text is None else len(text))
    out += text or b""
