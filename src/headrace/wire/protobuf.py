"""Protocol Buffers' wire format, field by field: no schema, no generated classes, no import cost.

A message is fields one after the other, each a tag and a value; the tag is a varint of
`number << 3 | wire type`:

    0  a varint of up to 64 bits         2  a varint length and that many bytes
    1  eight bytes, little-endian        5  four bytes, little-endian

3 and 4 enclose groups, which no message of ours has. An absent field has its default, an unknown
one is left alone, and of a field that comes twice the last counts (protobuf.dev, "Encoding").
What must not enter: messages.
"""

from collections.abc import Iterator
from typing import Final

from headrace.wire.errors import MalformedError
from headrace.wire.varint import write_uvarint

__all__ = [
    "FIXED_32",
    "FIXED_64",
    "LENGTH_DELIMITED",
    "VARINT",
    "put_bytes",
    "put_varint",
    "read_fields",
    "read_uint64",
    "to_int64",
]

VARINT: Final = 0
FIXED_64: Final = 1
LENGTH_DELIMITED: Final = 2
FIXED_32: Final = 5

FIELD_NUMBER_MAX: Final = (1 << 29) - 1
_UINT64: Final = (1 << 64) - 1

Value = int | memoryview
"""A number of wire type 0, 1 or 5, unsigned; else a view of the message."""


def read_fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """Every field as (number, wire type, value), in order. Raises MalformedError."""
    position, end = 0, len(message)
    try:
        while position < end:
            tag, position = read_uint64(message, position)
            number, kind = tag >> 3, tag & 7
            if not 0 < number <= FIELD_NUMBER_MAX:
                raise MalformedError(f"a field with the number {number}")
            value: Value
            if kind == VARINT:
                value, position = read_uint64(message, position)
            elif kind == LENGTH_DELIMITED:
                size, position = read_uint64(message, position)
                value = message[position : position + size]
                position += size
            elif kind in (FIXED_64, FIXED_32):
                size = 8 if kind == FIXED_64 else 4
                value = int.from_bytes(message[position : position + size], "little")
                position += size
            else:
                raise MalformedError(f"field {number} has the wire type {kind}")
            if position > end:
                raise MalformedError(f"field {number} ends beyond the message")
            yield number, kind, value
    except IndexError:
        raise MalformedError("the message ends within a field") from None


def read_uint64(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """A varint of one to ten bytes, cut to 64 bits as protobuf does, and where it ends. Raises
    MalformedError, and IndexError where the bytes end."""
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    for shift in range(7, 70, 7):
        position += 1
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, position + 1
    raise MalformedError("a varint of more than ten bytes")


def to_int64(value: int) -> int:
    """What was read of an int32, int64 or enum field."""
    return value - (1 << 64) if value >> 63 else value


def put_varint(out: bytearray, number: int, value: int) -> None:
    """Append an int32, int64, uint64, bool or enum field."""
    write_uvarint(out, number << 3 | VARINT)
    write_uvarint(out, value & _UINT64)


def put_bytes(out: bytearray, number: int, value: bytes | bytearray | memoryview) -> None:
    """Append a string, bytes or message field."""
    write_uvarint(out, number << 3 | LENGTH_DELIMITED)
    write_uvarint(out, len(value))
    out += value
