"""Messages of Zerobus as the SDK lays them out, in every other legal order, and garbage."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import put_bytes, put_varint
from headrace.wire.zerobus import (
    EPHEMERAL,
    PERSISTENT,
    CreateStream,
    Ingest,
    RecordType,
    ResumeStream,
    put_ack,
    put_close_signal,
    put_created,
    put_resumed,
    read_request,
    read_retire,
    take_singles,
)

ARMS = {RecordType.PROTO: 2, RecordType.JSON: 3, RecordType.AVRO: 4}
kinds = st.sampled_from(sorted(ARMS))
dialects = st.sampled_from([EPHEMERAL, PERSISTENT])
offsets = st.integers(0, 2**63 - 1)


def message(*fields: tuple[int, int | bytes]) -> bytes:
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            put_varint(out, number, value)
        else:
            put_bytes(out, number, value)
    return bytes(out)


def single(offset: int, record: bytes, kind: RecordType = RecordType.JSON, field: int = 2) -> bytes:
    return message((field, message((1, offset), (ARMS[kind], record))))


def batch(offset: int, records: list[bytes], kind: RecordType, field: int = 3) -> bytes:
    inner = message(*((1, record) for record in records))
    return message((field, message((1, offset), (ARMS[kind], inner))))


def framed(messages: list[bytes]) -> tuple[memoryview, list[int]]:
    data, ends = bytearray(), []
    for each in messages:
        data += struct.pack(">BI", 0, len(each)) + each
        ends.append(len(data))
    return memoryview(data), ends


@given(dialects, st.text(), kinds, st.binary(), st.text())
def test_an_opening_is_read(dialect, table, kind, descriptor, schema):
    create = message((1, table.encode()), (3, descriptor), (4, kind), (5, schema.encode()))
    request = message((1, message((1, create)) if dialect is PERSISTENT else create))
    found = read_request(memoryview(request), dialect)
    assert found == CreateStream(table, kind, descriptor, schema)


def test_a_resumption_is_read():
    request = message((2, message((1, b"id"), (2, b"d"), (3, 1))))
    assert read_request(memoryview(request), PERSISTENT) == ResumeStream("id", 1, b"d")
    assert read_retire(memoryview(message((1, b"t"), (2, b"id")))) == ("t", "id")


@given(dialects, offsets, kinds, st.lists(st.binary(max_size=300), max_size=20))
def test_batches_are_read(dialect, offset, kind, records):
    request = batch(offset, records, kind, dialect.batch)
    assert read_request(memoryview(request), dialect) == Ingest(offset, kind, records)


@given(offsets, kinds, st.binary(max_size=300), st.booleans())
def test_a_record_is_read_whatever_the_order_of_its_fields(offset, kind, record, swapped):
    fields = [(1, offset), (ARMS[kind], record)]
    request = message((2, message(*(reversed(fields) if swapped else fields))))
    assert read_request(memoryview(request), EPHEMERAL) == Ingest(offset, kind, [record])


@given(
    dialects,
    kinds,
    st.integers(0, 2**40),
    st.lists(st.binary(max_size=300), min_size=1, max_size=20),
    st.data(),
)
def test_a_run_of_records_is_taken_at_once(dialect, kind, offset, records, data):
    first = data.draw(st.integers(0, len(records) - 1))
    messages = [single(offset + n, r, kind, dialect.record) for n, r in enumerate(records)]
    found: list[memoryview] = []
    view, ends = framed(messages)
    count = take_singles(view, ends, first, offset + first, kind, dialect.record, found)
    wanted = records[first : first + count]
    assert found == wanted
    # What is not taken is left to read_request: only what is too short to be laid out with room.
    if count < len(records) - first:
        assert len(messages[first + count]) < 8


@pytest.mark.parametrize(
    "odd",
    [
        single(7, b"record"),  # not its turn
        single(1, b"record", RecordType.PROTO),
        batch(1, [b"record"], RecordType.JSON),
        message((2, message((3, b"record"), (1, 1)))),
        message((2, message((1, 1), (3, b"record"), (9, 9)))),
        message((9, 9), (2, message((1, 1), (3, b"record")))),
        single(1, b"record")[:-1],
    ],
)
def test_a_run_ends_before_what_is_not_part_of_it(odd):
    view, ends = framed([single(0, b"record"), odd, single(2, b"record")])
    found: list[memoryview] = []
    assert take_singles(view, ends, 0, 0, RecordType.JSON, 2, found) == 1
    assert found == [b"record"]


@given(st.lists(st.binary(max_size=60), max_size=5), dialects)
def test_no_bytes_harm(messages, dialect):
    view, ends = framed(messages)
    take_singles(view, ends, 0, 0, RecordType.JSON, dialect.record, [])
    for each in messages:
        try:
            read_request(memoryview(each), dialect)
        except MalformedError:
            continue


@given(st.binary(max_size=40), st.integers(0, 20))
def test_a_batch_that_is_cut_is_refused(tail, cut):
    whole = batch(0, [b"a" * 30, tail + b"."], RecordType.JSON)
    inner = message((1, b"a" * 30), (1, tail + b"."))
    short = message((3, message((1, 0), (3, inner[: -1 - cut % (len(tail) + 1)]))))
    assert read_request(memoryview(whole), EPHEMERAL) == Ingest(
        0, RecordType.JSON, [b"a" * 30, tail + b"."]
    )
    with pytest.raises(MalformedError):
        read_request(memoryview(short), EPHEMERAL)


def test_an_offset_that_is_not_there_is_no_offset_0():
    with pytest.raises(MalformedError, match="offset_id"):
        read_request(memoryview(message((2, message((3, b"x"))))), EPHEMERAL)


def test_answers_are_laid_out_as_clients_read_them():
    assert put_created("id") == b"\x0a\x04\x0a\x02id"
    assert put_ack(0, EPHEMERAL) == b"\x12\x02\x08\x00"
    assert put_ack(-1, PERSISTENT) == b"\x1a\x0b\x08" + b"\xff" * 9 + b"\x01"
    assert put_close_signal(2.5, EPHEMERAL) == b"\x1a\x0a\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01"
    assert put_resumed(-1) == b"\x12\x00"
    assert put_resumed(7) == b"\x12\x02\x08\x07"
