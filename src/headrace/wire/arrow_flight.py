"""Arrow Flight's DoPut, and as much of Arrow IPC as tells what a message is.

    FlightData {1 flight_descriptor, 2 data_header, 3 app_metadata, 1000 data_body}
    PutResult  {1 app_metadata}

data_header is the flatbuffer `Message` (Arrow's Message.fbs), of which three of the fields count:
header_type (slot 1), header (slot 2) and, in a `RecordBatch`, length (slot 0), its rows. A table in
a flatbuffer begins with the distance back to its vtable, which gives two lengths and then, slot by
slot, where in the table each field is (0: absent). All little-endian.

What must not enter: columns, types, compression; `pyarrow` has those, and no server needs it.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import LENGTH_DELIMITED, put_bytes, read_fields

__all__ = [
    "FlightData",
    "MessageKind",
    "ipc_stream",
    "put_result",
    "read_flight_data",
    "read_header",
]

_ALIGNMENT_BYTES: Final = 8
_CONTINUATION: Final = b"\xff\xff\xff\xff"
_END_OF_STREAM: Final = _CONTINUATION + b"\0\0\0\0"
_NOTHING: Final = memoryview(b"")


class MessageKind(IntEnum):
    """MessageHeader of Message.fbs."""

    NONE = 0
    SCHEMA = 1
    DICTIONARY_BATCH = 2
    RECORD_BATCH = 3
    TENSOR = 4
    SPARSE_TENSOR = 5


class FlightData(NamedTuple):
    """Views of the message."""

    header: memoryview
    app_metadata: memoryview
    body: memoryview


def read_flight_data(message: memoryview) -> FlightData:
    """Raises MalformedError."""
    header = app_metadata = body = _NOTHING
    for number, kind, value in read_fields(message):
        if kind == LENGTH_DELIMITED and isinstance(value, memoryview):
            if number == 2:
                header = value
            elif number == 3:
                app_metadata = value
            elif number == 1000:
                body = value
    return FlightData(header, app_metadata, body)


def read_header(header: memoryview) -> tuple[int, int]:
    """(a MessageKind, rows of a record batch) of a data_header. Raises MalformedError."""
    try:
        (root,) = struct.unpack_from("<I", header, 0)
        kind_at = _slot(header, root, 1)
        table_at = _slot(header, root, 2)
        if not kind_at or not table_at:
            raise MalformedError("the Arrow message has no header")
        kind = header[kind_at]
        if kind != MessageKind.RECORD_BATCH:
            return kind, 0
        (distance,) = struct.unpack_from("<I", header, table_at)
        length_at = _slot(header, table_at + distance, 0)
        rows = struct.unpack_from("<q", header, length_at)[0] if length_at else 0
    except (struct.error, IndexError):
        raise MalformedError("the Arrow message's header ends too early") from None
    if rows < 0:
        raise MalformedError(f"the Arrow record batch has {rows} rows")
    return kind, rows


def _slot(buffer: memoryview, table: int, slot: int) -> int:
    """Where the field of the table is; 0: it is absent."""
    (back,) = struct.unpack_from("<i", buffer, table)
    vtable = table - back
    if vtable < 0:
        raise MalformedError("the Arrow message's header points outside of itself")
    (size,) = struct.unpack_from("<H", buffer, vtable)
    at = 4 + 2 * slot
    if at + 2 > size:
        return 0
    (offset,) = struct.unpack_from("<H", buffer, vtable + at)
    return table + offset if offset else 0


def ipc_stream(schema: memoryview | bytes, header: memoryview, body: memoryview) -> bytes:
    """A whole Arrow IPC stream with one message: the schema, it, the end. `schema` is the
    data_header of the schema; readers need nothing else (`pyarrow.ipc.open_stream`)."""
    return b"".join((*_framed(schema), *_framed(header), body, _END_OF_STREAM))


def _framed(header: memoryview | bytes) -> tuple[bytes | memoryview, ...]:
    """The metadata of an encapsulated message, padded to eight bytes."""
    padding = -len(header) % _ALIGNMENT_BYTES
    size = struct.pack("<i", len(header) + padding)
    return _CONTINUATION, size, header, bytes(padding)


def put_result(app_metadata: bytes) -> bytes:
    """A PutResult."""
    out = bytearray()
    put_bytes(out, 1, app_metadata)
    return bytes(out)
