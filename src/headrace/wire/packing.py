"""Many values into one record batch, quickly: the way from an ingest stream to the log.

For records of which only the value is their own (no key, no headers, one timestamp) every byte
around the values is known from a table, by the value's length and the record's number:

    head[length]                the end of the record before; length, attributes, timestamp delta
    delta[number]               offset delta, the null key
    size[length]                the value's length
    value

so a batch is one `join` over them, in C, and each value is copied once. Record layout: `records`;
header: `batch`. What must not enter: where values come from, compression.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, repeat
from typing import Final

from headrace.wire import batch as batches
from headrace.wire.records import Record, encode_record
from headrace.wire.varint import write_varint

__all__ = [
    "BATCH_RECORDS_MAX",
    "RECORD_OVERHEAD_BYTES_MAX",
    "Buffer",
    "pack_records",
    "pack_values",
]

Buffer = bytes | bytearray | memoryview
"""Of bytes: `len` counts them."""

RECORD_OVERHEAD_BYTES_MAX: Final = 20
"""Around a value: two lengths, offset delta, and five single bytes."""

_SECTION: Final = 8192
"""Records whose offset deltas share their third byte."""
BATCH_RECORDS_MAX: Final = 128 * _SECTION
"""Beyond it an offset delta takes a fourth byte."""

_SHORT: Final = 64
"""Offset deltas below it take one byte."""
_LENGTHS_MAX: Final = 4096
"""Values shorter than this have their lengths in tables."""

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_CRC: Final = struct.Struct(">I")
_CRC_POSITION: Final = 17
_NULL_KEY: Final = b"\x01"
_NO_HEADERS: Final = b"\x00"


def _varint(value: int) -> bytes:
    out = bytearray()
    write_varint(out, value)
    return bytes(out)


class _Sizes(dict[int, bytes]):
    """By a value's length; long ones are not remembered."""

    def __missing__(self, length: int) -> bytes:
        made = _varint(length)
        if length < _LENGTHS_MAX:
            self[length] = made
        return made


class _Heads(dict[int, bytes]):
    """The same, of records whose offset delta takes so many bytes."""

    def __init__(self, delta_bytes: int) -> None:
        super().__init__()
        self._around = delta_bytes + 4  # attributes, timestamp delta, key, headers

    def __missing__(self, length: int) -> bytes:
        inside = self._around + len(_SIZES[length]) + length
        made = _NO_HEADERS + _varint(inside) + b"\x00\x00"
        if length < _LENGTHS_MAX:
            self[length] = made
        return made


_SIZES: Final = _Sizes()
_HEADS: Final = tuple(_Heads(delta_bytes) for delta_bytes in (1, 2, 3))


@cache
def _deltas() -> tuple[bytes, ...]:
    """By a record's number. Made when first needed: it takes milliseconds."""
    return tuple(_varint(number) + _NULL_KEY for number in range(_SECTION))


@cache
def _low_deltas() -> tuple[bytes, ...]:
    """The first two of three bytes."""
    return tuple(
        bytes((number << 1 & 0x7F | 0x80, number >> 6 & 0x7F | 0x80)) for number in range(_SECTION)
    )


def pack_values(
    values: Sequence[Buffer],
    lengths: Sequence[int],
    now_ms: int,
    producer: tuple[int, int, int],
    last: Record | None = None,
) -> bytearray:
    """A batch of records with these values, all of them of `now_ms`; `lengths` are the values'.
    `last` comes after them. Producer: id, epoch, base sequence.

    Takes at most BATCH_RECORDS_MAX records, and at least one.
    """
    count = len(values)
    pieces: list[Iterable[Buffer]] = []
    _short_sections(pieces, values, lengths)
    for start in range(_SECTION, count, _SECTION):
        stop = start + _SECTION
        third = bytes((start // _SECTION,)) + _NULL_KEY
        sizes = lengths[start:stop]
        pieces.append(
            chain.from_iterable(
                zip(
                    map(_HEADS[2].__getitem__, sizes),
                    _low_deltas(),
                    repeat(third),
                    map(_SIZES.__getitem__, sizes),
                    values[start:stop],
                    strict=False,
                )
            )
        )
    end: list[bytes | bytearray] = [_NO_HEADERS] if count else []
    if last is not None:
        end.append(encode_record(last, 0, count))
        count += 1
    return _sealed(chain(*pieces, end), count, not values, now_ms, now_ms, producer)


def _short_sections(
    pieces: list[Iterable[Buffer]], values: Sequence[Buffer], lengths: Sequence[int]
) -> None:
    """The records whose offset deltas take one or two bytes."""
    for heads, start, stop in ((_HEADS[0], 0, _SHORT), (_HEADS[1], _SHORT, _SECTION)):
        sizes = lengths[start:stop]
        if sizes:
            pieces.append(
                chain.from_iterable(
                    zip(
                        map(heads.__getitem__, sizes),
                        _deltas()[start:stop] if start else _deltas(),
                        map(_SIZES.__getitem__, sizes),
                        values[start:stop],
                        strict=False,
                    )
                )
            )


def pack_records(
    records: Sequence[Record], now_ms: int, producer: tuple[int, int, int]
) -> bytearray:
    """A batch of records with keys, headers and times of their own; -1 is `now_ms`."""
    times = [now_ms if record.timestamp_ms < 0 else record.timestamp_ms for record in records]
    first = times[0]
    pieces = (
        encode_record(record, time - first, number)
        for number, (record, time) in enumerate(zip(records, times, strict=True))
    )
    return _sealed(pieces, len(records), True, first, max(times), producer)


def _sealed(
    pieces: Iterable[Buffer],
    count: int,
    is_whole: bool,
    first_ms: int,
    greatest_ms: int,
    producer: tuple[int, int, int],
) -> bytearray:
    """The header and the pieces behind it. Unless `is_whole` the first piece begins with the end of
    a record that is not there."""
    built = bytearray().join(_behind_header(pieces, is_whole))
    _HEADER.pack_into(
        built,
        0,
        *(0, len(built) - batches.LENGTH_OVERHEAD_BYTES, -1, 2, 0, 0, count - 1),
        *(first_ms, greatest_ms, *producer, count),
    )
    _CRC.pack_into(built, _CRC_POSITION, batches.crc_of(built))
    return built


def _behind_header(pieces: Iterable[Buffer], is_whole: bool) -> Iterator[Buffer]:
    walk = iter(pieces)
    if is_whole:
        return chain((bytes(batches.HEADER_BYTES),), walk)
    head = next(walk)[len(_NO_HEADERS) :]
    return chain((bytes(batches.HEADER_BYTES), head), walk)
