"""Reading and writing Kafka's primitives by position, for the codecs that are written by hand.

Every read takes a buffer and a position and returns the value and the position after it; what does
not fit raises MalformedError (or struct.error from the caller's own unpacking). The schema codec
has its own compiled readers.
"""

import struct
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from headrace.wire import varint
from headrace.wire.errors import MalformedError
from headrace.wire.varint import write_uvarint

__all__ = [
    "check_count",
    "check_end",
    "classic_string",
    "compact_string",
    "read_uvarint",
    "runs_by_topic",
    "skip_tagged_fields",
    "take",
    "write_compact_string",
    "write_count",
    "write_topic",
    "write_uvarint",
]

_TAGGED_FIELDS_MAX: Final = 64
_I16: Final = struct.Struct(">h")
_I32: Final = struct.Struct(">i")


def read_uvarint(buffer: memoryview, position: int) -> tuple[int, int]:
    """An unsigned 32-bit varint and the position after it. Raises MalformedError."""
    try:
        return varint.read_uvarint(buffer, position)
    except IndexError:
        raise MalformedError("the frame ends inside a varint") from None


def skip_tagged_fields(buffer: memoryview, position: int) -> int:
    """The position after the tagged fields, none of which is wanted here. Raises MalformedError."""
    if position < len(buffer) and buffer[position] == 0:
        return position + 1
    count, position = read_uvarint(buffer, position)
    if count > _TAGGED_FIELDS_MAX:
        raise MalformedError(f"{count} tagged fields in one structure")
    for _ in range(count):
        _, position = read_uvarint(buffer, position)
        size, position = read_uvarint(buffer, position)
        position += size
        if position > len(buffer):
            raise MalformedError("a tagged field is longer than its frame")
    return position


def write_topic(out: bytearray, topic: str | UUID, flexible: bool) -> None:
    if isinstance(topic, UUID):
        out += topic.bytes
    elif flexible:
        write_compact_string(out, topic)
    else:
        text = topic.encode()
        out += _I16.pack(len(text))
        out += text


def write_compact_string(out: bytearray, text: str | None) -> None:
    if text is None:
        out.append(0)
        return
    encoded = text.encode()
    write_uvarint(out, len(encoded) + 1)
    out += encoded


def write_count(out: bytearray, count: int, flexible: bool) -> None:
    if flexible:
        write_uvarint(out, count + 1)
    else:
        out += _I32.pack(count)


def take(frame: memoryview, position: int, size: int) -> memoryview:
    if position + size > len(frame):
        raise MalformedError(f"{size} bytes are announced, {len(frame) - position} are left")
    return frame[position : position + size]


def classic_string(frame: memoryview, position: int, *, nullable: bool) -> tuple[str | None, int]:
    (size,) = _I16.unpack_from(frame, position)
    position += 2
    if size < 0:
        if size == -1 and nullable:
            return None, position
        raise MalformedError(f"a string of {size} bytes")
    return str(take(frame, position, size), "utf-8"), position + size


def compact_string(frame: memoryview, position: int, *, nullable: bool) -> tuple[str | None, int]:
    size, position = read_uvarint(frame, position)
    if size == 0:
        if nullable:
            return None, position
        raise MalformedError("a string that must not be null is null")
    size -= 1
    return str(take(frame, position, size), "utf-8"), position + size


def check_count(count: int, most: int) -> None:
    if not 0 <= count <= most:
        raise MalformedError(f"an array of {count} entries")


def check_end(frame: memoryview, position: int) -> None:
    if position != len(frame):
        raise MalformedError(f"{len(frame) - position} bytes follow the request")


class _HasTopic(Protocol):
    @property
    def topic(self) -> str | UUID: ...


def runs_by_topic(entries: Sequence[_HasTopic]) -> list[tuple[int, int]]:
    """[start, end) of each run of entries with the same topic, as a response groups them."""
    runs: list[tuple[int, int]] = []
    start = 0
    for place in range(1, len(entries) + 1):
        if place == len(entries) or entries[place].topic != entries[start].topic:
            runs.append((start, place))
            start = place
    return runs
