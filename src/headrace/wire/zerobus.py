"""The messages of the service `databricks.zerobus.Zerobus`, walked field by field.

Package `databricks.zerobus`, proto2; `doors/http2/zerobus/zerobus.proto` has them in full. Numbers
as the official SDK sends them (1.10.0); what it does not send is left alone. A message with records
is never made into an object: `take_singles` walks one read's worth of the smallest of them, and
`read_request` gives the records of any as views.

    EphemeralStreamRequest   oneof {1 create_stream, 2 ingest_record, 3 ingest_record_batch}
    PersistentStreamRequest  oneof {1 create_stream, 2 resume_stream, 3 ingest_record, 4 .._batch}

What must not enter: the order in which messages may come, what becomes of records.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import (
    LENGTH_DELIMITED,
    VARINT,
    put_bytes,
    put_varint,
    read_fields,
    read_uint64,
    to_int64,
)

__all__ = [
    "EPHEMERAL",
    "OFFSET_MAX",
    "PERSISTENT",
    "CreateStream",
    "Dialect",
    "Ingest",
    "RecordType",
    "ResumeStream",
    "RetireStream",
    "put_ack",
    "put_close_signal",
    "put_created",
    "put_resumed",
    "read_request",
    "read_retire",
    "take_singles",
]

OFFSET_MAX: Final = (1 << 63) - 1


class RecordType(IntEnum):
    """RecordType of the wire, and the arm of the oneofs that carries it."""

    UNSPECIFIED = 0
    PROTO = 1
    JSON = 2
    AVRO = 4


_BY_ARM: Final = {2: RecordType.PROTO, 3: RecordType.JSON, 4: RecordType.AVRO}
_ARMS: Final = {kind: arm for arm, kind in _BY_ARM.items()}


class Dialect(NamedTuple):
    """In which the two streams differ: field numbers of their oneofs."""

    create: int
    resume: int
    """0: there is none."""
    record: int
    batch: int
    ack: int
    """Of the response."""
    close_signal: int


EPHEMERAL: Final = Dialect(create=1, resume=0, record=2, batch=3, ack=2, close_signal=3)
PERSISTENT: Final = Dialect(create=1, resume=2, record=3, batch=4, ack=3, close_signal=4)


class CreateStream(NamedTuple):
    """CreateIngestStreamRequest."""

    table_name: str
    record_type: int
    """Of the wire, so it may be none of RecordType."""
    descriptor_proto: bytes
    """One serialized google.protobuf.DescriptorProto; empty: none was sent."""
    avro_schema_json: str


class ResumeStream(NamedTuple):
    """ResumeIngestStreamRequest."""

    stream_id: str
    record_type: int
    descriptor_proto: bytes


class Ingest(NamedTuple):
    """IngestRecordRequest or IngestRecordBatchRequest: one offset, however many records."""

    offset: int
    record_type: RecordType
    records: list[memoryview]


class RetireStream(NamedTuple):
    """RetireStreamRequest."""

    table_name: str
    stream_id: str


Request = CreateStream | ResumeStream | Ingest


def read_request(message: memoryview, dialect: Dialect) -> Request:
    """What the last of the message's arms holds. Raises MalformedError."""
    arm, payload = 0, memoryview(b"")
    for number, kind, value in read_fields(message):
        if kind == LENGTH_DELIMITED and not isinstance(value, int) and number in dialect[:4]:
            arm, payload = number, value
    if not arm:
        raise MalformedError("the message has no payload that is known")
    if arm == dialect.record:
        return _read_record(payload)
    if arm == dialect.batch:
        return _read_batch(payload)
    if arm == dialect.resume:
        return _read_resume(payload)
    return _read_create(_unwrapped(payload) if dialect.resume else payload)


def _unwrapped(payload: memoryview) -> memoryview:
    """CreatePersistentStreamRequest: the create_stream in it."""
    return _messages(payload).get(1, memoryview(b""))


def _read_create(payload: memoryview) -> CreateStream:
    fields = _messages(payload)
    return CreateStream(
        _text(fields, 1, "table_name"),
        _enum(payload, 4),
        bytes(fields.get(3, b"")),
        _text(fields, 5, "avro_schema_json"),
    )


def _read_resume(payload: memoryview) -> ResumeStream:
    fields = _messages(payload)
    descriptor = bytes(fields.get(2, b""))
    return ResumeStream(_text(fields, 1, "stream_id"), _enum(payload, 3), descriptor)


def read_retire(message: memoryview) -> RetireStream:
    """Raises MalformedError."""
    fields = _messages(message)
    return RetireStream(_text(fields, 1, "table_name"), _text(fields, 2, "stream_id"))


def _read_record(payload: memoryview) -> Ingest:
    offset: int | None = None
    found: Ingest | None = None
    for number, kind, value in read_fields(payload):
        if number == 1 and kind == VARINT and isinstance(value, int):
            offset = to_int64(value)
        elif number in _BY_ARM and kind == LENGTH_DELIMITED and not isinstance(value, int):
            found = Ingest(0, _BY_ARM[number], [value])
    return _complete(offset, found)


def _read_batch(payload: memoryview) -> Ingest:
    offset: int | None = None
    found: Ingest | None = None
    for number, kind, value in read_fields(payload):
        if number == 1 and kind == VARINT and isinstance(value, int):
            offset = to_int64(value)
        elif number in _BY_ARM and kind == LENGTH_DELIMITED and not isinstance(value, int):
            found = Ingest(0, _BY_ARM[number], _read_records(value))
    return _complete(offset, found)


def _complete(offset: int | None, found: Ingest | None) -> Ingest:
    if offset is None:
        raise MalformedError("an ingest message has no offset_id")
    if found is None:
        raise MalformedError(f"the ingest message of offset {offset} has no record")
    return found._replace(offset=offset)


def _read_records(batch: memoryview) -> list[memoryview]:
    """`repeated records = 1`, which is as good as always all there is."""
    records: list[memoryview] = []
    append = records.append
    position, end = 0, len(batch)
    try:
        while position < end and batch[position] == 0x0A:
            size, position = read_uint64(batch, position + 1)
            stop = position + size
            append(batch[position:stop])
            position = stop
    except IndexError:
        raise MalformedError("a batch ends within a record") from None
    if position > end:
        raise MalformedError("a batch ends within a record")
    for number, kind, value in read_fields(batch[position:]):
        if number == 1 and kind == LENGTH_DELIMITED and not isinstance(value, int):
            append(value)
    return records


def take_singles(
    data: memoryview,
    ends: Sequence[int],
    first: int,
    offset: int,
    record_type: int,
    field: int,
    into: list[memoryview],
) -> int:
    """Take the run of messages with a single record each that begins at message `first`.

    `data` and `ends` are messages with prefixes of five bytes (gRPC), `field` that of ingest_record
    in the request. Appends the records to `into` and returns how many messages those were: it stops
    at one that is anything else than a record of `record_type`, laid out as every encoder lays it
    out, with the offset that is its turn, which begins with `offset`. Looks at no record.
    """
    tag = field << 3 | LENGTH_DELIMITED
    arm = _ARMS.get(RecordType(record_type), 0) << 3 | LENGTH_DELIMITED
    append = into.append
    start = ends[first - 1] if first else 0
    count = 0
    for index in range(first, len(ends)):
        end = ends[index]
        position = start + 5
        # Two tags, a short offset and a short length are the least; the shortest goes the long way.
        if end - position < 8 or data[position] != tag:
            break
        position += 2
        if data[position - 1] > 0x7F:  # length of the inner message: all that is left
            while position < end and data[position] > 0x7F:
                position += 1
            position += 1
        if end - position < 4 or data[position] != 0x08:
            break
        byte = data[position + 1]
        position += 2
        number = byte & 0x7F
        shift = 7
        while byte > 0x7F and position < end - 2:
            byte = data[position]
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
        if number != offset or data[position] != arm:
            break
        size = 0
        shift = 0
        byte = 0x80
        position += 1
        while byte > 0x7F and position < end:
            byte = data[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        if position + size != end:
            break
        append(data[position:end])
        start = end
        offset += 1
        count += 1
    return count


def put_created(stream_id: str) -> bytes:
    """A response with create_stream_response, alike in both streams."""
    return _wrapped(1, 1, stream_id.encode())


def put_resumed(last_committed_offset: int) -> bytes:
    """A response with resume_stream_response; -1: nothing is committed."""
    inner = bytearray()
    if last_committed_offset >= 0:
        put_varint(inner, 1, last_committed_offset)
    out = bytearray()
    put_bytes(out, 2, inner)
    return bytes(out)


def put_ack(up_to_offset: int, dialect: Dialect) -> bytes:
    """A response with ingest_record_response. The field is there even for -1, which says that
    nothing is durable: clients take its absence for an error."""
    inner = bytearray()
    put_varint(inner, 1, up_to_offset)
    out = bytearray()
    put_bytes(out, dialect.ack, inner)
    return bytes(out)


def put_close_signal(duration_s: float, dialect: Dialect) -> bytes:
    """A response with close_stream_signal: a google.protobuf.Duration {1 seconds, 2 nanos}."""
    duration = bytearray()
    seconds = int(duration_s)
    put_varint(duration, 1, seconds)
    put_varint(duration, 2, int((duration_s - seconds) * 1e9))
    return _wrapped(dialect.close_signal, 1, duration)


def _wrapped(outer: int, inner: int, value: bytes | bytearray) -> bytes:
    message = bytearray()
    put_bytes(message, inner, value)
    out = bytearray()
    put_bytes(out, outer, message)
    return bytes(out)


def _messages(message: memoryview) -> dict[int, memoryview]:
    """The length-delimited fields, the last of each."""
    return {
        number: value
        for number, kind, value in read_fields(message)
        if kind == LENGTH_DELIMITED and not isinstance(value, int)
    }


def _enum(message: memoryview, wanted: int) -> int:
    found = 0
    for number, kind, value in read_fields(message):
        if number == wanted and kind == VARINT and isinstance(value, int):
            found = value
    return found


def _text(fields: dict[int, memoryview], number: int, name: str) -> str:
    try:
        return str(fields.get(number, b""), "utf-8")
    except UnicodeDecodeError:
        raise MalformedError(f"{name} is not UTF-8") from None
