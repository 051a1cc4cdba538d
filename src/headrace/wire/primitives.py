"""The primitive types of Kafka messages: one reader and one writer each.

A reader takes (data, position) and returns (value, next position); a writer appends to a
bytearray. `wire.codegen` strings them together into one function for each message and version.
What must not enter: messages, fields, versions.

Readers trust nothing. A length is compared with the bytes that are left before anything is made
of it. Where a fixed-size read runs over the end, struct.error or IndexError escapes on purpose:
`schema.decode` turns both into MalformedError once for the whole message, which is cheaper than a
test before each read.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final
from uuid import UUID

from headrace.wire.errors import MalformedError
from headrace.wire.varint import read_uvarint, write_uvarint

__all__ = [
    "ENTRIES_MAX",
    "FIXED",
    "FIXED_READERS",
    "FIXED_WRITERS",
    "Body",
    "Reader",
    "Writer",
    "array_reader",
    "array_writer",
    "bytes_reader",
    "bytes_writer",
    "optional_struct_reader",
    "optional_struct_writer",
    "packed_array_reader",
    "packed_array_writer",
    "read_tagged",
    "read_uuid",
    "skip_tagged",
    "string_reader",
    "string_writer",
    "write_tagged",
    "write_uuid",
]

ENTRIES_MAX: Final = 100_000
"""List entries and tagged fields of one message, nested ones included: each costs about a
microsecond to read and more to answer, during which nobody else is served."""


class Body(bytes):
    """The bytes of one message, and how many entries may still be read from them."""

    entries_left = ENTRIES_MAX


Reader = Callable[[Body, int], tuple[Any, int]]
Writer = Callable[[bytearray, Any], None]

FIXED: Final = {
    "boolean": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "float64": "d",
}
"""Types whose size never varies, as struct codes: neighbours are read in a single call."""

_STRING_BYTES_MAX: Final = 0x7FFF
_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_NO_UUID: Final = bytes(16)


def _fixed_reader(code: str) -> Reader:
    layout = Struct(">" + code)

    def read(data: Body, position: int) -> tuple[Any, int]:
        return layout.unpack_from(data, position)[0], position + layout.size

    return read


def _fixed_writer(code: str) -> Writer:
    pack = Struct(">" + code).pack

    def write(out: bytearray, value: Any) -> None:
        out += pack(value)

    return write


FIXED_READERS: Final = {name: _fixed_reader(code) for name, code in FIXED.items()}
FIXED_WRITERS: Final = {name: _fixed_writer(code) for name, code in FIXED.items()}


def read_uuid(data: Body, position: int) -> tuple[UUID | None, int]:
    """Sixteen bytes; all zero means none."""
    end = position + 16
    value = data[position:end]
    if value == _NO_UUID:
        return None, end
    if len(value) != 16:
        raise MalformedError("the message ends inside a uuid")
    return UUID(bytes=value), end


def write_uuid(out: bytearray, value: UUID | None) -> None:
    out += _NO_UUID if value is None else value.bytes


def _read_length16(data: Body, position: int) -> tuple[int, int]:
    return _INT16.unpack_from(data, position)[0], position + 2


def _read_length32(data: Body, position: int) -> tuple[int, int]:
    return _INT32.unpack_from(data, position)[0], position + 4


def _read_compact_length(data: Body, position: int) -> tuple[int, int]:
    length, position = read_uvarint(data, position)
    return length - 1, position


def _write_length16(out: bytearray, length: int) -> None:
    out += _INT16.pack(length)


def _write_length32(out: bytearray, length: int) -> None:
    out += _INT32.pack(length)


def _write_compact_length(out: bytearray, length: int) -> None:
    if length < 0x7F:
        out.append(length + 1)
    else:
        write_uvarint(out, length + 1)


def _refuse(what: str, length: int, remaining: int, nullable: bool) -> None:
    if length == -1 and not nullable:
        raise MalformedError(f"a {what} is null where it must not be")
    if length < 0:
        raise MalformedError(f"a {what} has length {length}")
    raise MalformedError(f"a {what} says it has length {length}, {remaining} bytes are left")


def string_reader(*, compact: bool, nullable: bool) -> Reader:
    """UTF-8 with an int16 length, or an unsigned varint of length + 1 when compact."""
    read_length = _read_compact_length if compact else _read_length16

    def read(data: Body, position: int) -> tuple[str | None, int]:
        length, position = read_length(data, position)
        end = position + length
        if length < 0 or end > len(data) or length > _STRING_BYTES_MAX:
            if length == -1 and nullable:
                return None, position
            _refuse("string", length, len(data) - position, nullable)
        return data[position:end].decode(), end

    return read


def string_writer(*, compact: bool, nullable: bool) -> Writer:
    write_length = _write_compact_length if compact else _write_length16

    def write(out: bytearray, value: str | None) -> None:
        if value is None and nullable:
            write_length(out, -1)
            return
        encoded = value.encode()  # type: ignore[union-attr]  # None is refused by schema.encode
        if len(encoded) > _STRING_BYTES_MAX:
            raise ValueError(f"a string of {len(encoded)} bytes; {_STRING_BYTES_MAX} are allowed")
        write_length(out, len(encoded))
        out += encoded

    return write


def bytes_reader(*, compact: bool, nullable: bool) -> Reader:
    """Opaque bytes with an int32 length, or an unsigned varint of length + 1 when compact."""
    read_length = _read_compact_length if compact else _read_length32

    def read(data: Body, position: int) -> tuple[bytes | None, int]:
        length, position = read_length(data, position)
        end = position + length
        if length < 0 or end > len(data):
            if length == -1 and nullable:
                return None, position
            _refuse("byte string", length, len(data) - position, nullable)
        return data[position:end], end

    return read


def bytes_writer(*, compact: bool, nullable: bool) -> Writer:
    write_length = _write_compact_length if compact else _write_length32

    def write(out: bytearray, value: bytes | None) -> None:
        if value is None and nullable:
            write_length(out, -1)
            return
        write_length(out, len(value))  # type: ignore[arg-type]  # as above
        out += value  # type: ignore[arg-type]

    return write


def _spend(data: Body, entries: int) -> None:
    if entries > data.entries_left:
        raise MalformedError(f"more than {ENTRIES_MAX} list entries and tagged fields")
    data.entries_left -= entries


def _count_reader(what_bytes_min: int, *, compact: bool, nullable: bool) -> Reader:
    """Counts that the rest of the message can hold and that may be read; None for null."""
    read_length = _read_compact_length if compact else _read_length32

    def read(data: Body, position: int) -> tuple[int | None, int]:
        count, position = read_length(data, position)
        if count < 0 or count * what_bytes_min > len(data) - position:
            if count == -1 and nullable:
                return None, position
            _refuse("list", count, len(data) - position, nullable)
        _spend(data, count)
        return count, position

    return read


def array_reader(
    element: Reader, element_bytes_min: int, *, compact: bool, nullable: bool
) -> Reader:
    """Any list. A count that even the smallest elements could not honour is refused at once."""
    read_count = _count_reader(element_bytes_min, compact=compact, nullable=nullable)

    def read(data: Body, position: int) -> tuple[list[Any] | None, int]:
        count, position = read_count(data, position)
        if count is None:
            return None, position
        items = []
        for _ in range(count):
            item, position = element(data, position)
            items.append(item)
        return items, position

    return read


def array_writer(element: Writer, *, compact: bool, nullable: bool) -> Writer:
    write_length = _write_compact_length if compact else _write_length32

    def write(out: bytearray, items: list[Any] | None) -> None:
        if items is None and nullable:
            write_length(out, -1)
            return
        write_length(out, len(items))  # type: ignore[arg-type]  # None is refused by schema.encode
        for item in items:  # type: ignore[union-attr]
            element(out, item)

    return write


def packed_array_reader(code: str, *, compact: bool, nullable: bool) -> Reader:
    """A list of fixed-size numbers, unpacked in one call."""
    size = Struct(">" + code).size
    read_count = _count_reader(size, compact=compact, nullable=nullable)

    def read(data: Body, position: int) -> tuple[list[Any] | None, int]:
        count, position = read_count(data, position)
        if count is None:
            return None, position
        layout = Struct(f">{count}{code}")
        return list(layout.unpack_from(data, position)), position + layout.size

    return read


def packed_array_writer(code: str, *, compact: bool, nullable: bool) -> Writer:
    write_length = _write_compact_length if compact else _write_length32
    pack_one = Struct(">" + code).pack

    def write(out: bytearray, items: list[Any] | None) -> None:
        if items is None and nullable:
            write_length(out, -1)
            return
        count = len(items)  # type: ignore[arg-type]  # None is refused by schema.encode
        write_length(out, count)
        if count == 1:  # one replica, one partition: by far the most common
            out += pack_one(items[0])  # type: ignore[index]
        elif count:
            out += Struct(f">{count}{code}").pack(*items)  # type: ignore[misc]

    return write


def optional_struct_reader(element: Reader) -> Reader:
    """A struct that may be null: one byte says which (-1 null, 1 present)."""

    def read(data: Body, position: int) -> tuple[Any, int]:
        mark = data[position]
        if mark == 0xFF:
            return None, position + 1
        if mark != 1:
            raise MalformedError(f"a nullable struct starts with {mark}")
        return element(data, position + 1)

    return read


def optional_struct_writer(element: Writer) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(0xFF)
        else:
            out.append(1)
            element(out, value)

    return write


def skip_tagged(data: Body, position: int) -> int:
    """Step over tagged fields none of which is known here (KIP-482)."""
    if data[position] == 0:
        return position + 1
    return read_tagged(data, position, {})[1]


def read_tagged(
    data: Body, position: int, readers: dict[int, Reader]
) -> tuple[dict[int, Any], int]:
    """The known tagged fields by tag; unknown ones are skipped. As in Kafka, order is not checked
    and of two fields with one tag the later counts."""
    count, position = read_uvarint(data, position)
    if count * 2 > len(data) - position:
        raise MalformedError(f"{count} tagged fields cannot fit in the rest of the message")
    _spend(data, count)
    values: dict[int, Any] = {}
    for _ in range(count):
        tag, position = read_uvarint(data, position)
        size, position = read_uvarint(data, position)
        end = position + size
        if end > len(data):
            raise MalformedError(f"tagged field {tag} says it has {size} bytes; fewer are left")
        if tag in readers:
            values[tag], position = readers[tag](data, position)
            if position != end:
                raise MalformedError(f"tagged field {tag} does not fill its {size} bytes")
        position = end
    return values, position


def write_tagged(out: bytearray, fields: list[tuple[int, bytearray]]) -> None:
    """Append `fields`, (tag, encoded value) in ascending order of tags."""
    write_uvarint(out, len(fields))
    for tag, value in fields:
        write_uvarint(out, tag)
        write_uvarint(out, len(value))
        out += value
