"""Messages of Arrow Flight, against pyarrow where it is installed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire.arrow_flight import (
    MessageKind,
    ipc_stream,
    put_result,
    read_flight_data,
    read_header,
)
from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import put_bytes

HEADER = bytes.fromhex("10000000000000000a000c000600050008000a00000000000000000000000000")


def flight_data(*fields):
    out = bytearray()
    for number, value in fields:
        put_bytes(out, number, value)
    return memoryview(bytes(out))


def test_flight_data_is_read():
    data = read_flight_data(flight_data((2, b"h"), (3, b"{}"), (1000, b"body")))
    assert data == (b"h", b"{}", b"body")
    assert put_result(b"{}") == b"\x0a\x02{}"


@given(st.binary(max_size=100))
def test_no_bytes_harm(data):
    for each in (data, HEADER + data):
        try:
            read_header(memoryview(each))
            read_flight_data(memoryview(each))
        except MalformedError:
            continue


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_rows_are_counted_and_a_record_is_a_whole_stream(rows):
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    batch = pa.record_batch([list(range(rows)), ["x"] * rows], schema=schema)
    header, body = split(batch.serialize())
    schema_header, _ = split(schema.serialize())
    assert read_header(schema_header) == (MessageKind.SCHEMA, 0)
    assert read_header(header) == (MessageKind.RECORD_BATCH, rows)
    found = pa.ipc.open_stream(ipc_stream(schema_header, header, body)).read_all()
    assert found.to_batches() == ([batch] if rows else found.to_batches())
    assert found.schema == schema
    assert found.num_rows == rows


def split(buffer):
    """Metadata and body of an encapsulated message."""
    data = memoryview(buffer)
    size = int.from_bytes(data[4:8], "little")
    return data[8 : 8 + size], data[8 + size :]
