"""Protocol Buffers' wire format, without schema."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import (
    FIXED_32,
    FIXED_64,
    LENGTH_DELIMITED,
    VARINT,
    put_bytes,
    put_varint,
    read_fields,
    to_int64,
)

numbers = st.integers(1, (1 << 29) - 1)


@given(
    st.lists(
        st.one_of(
            st.tuples(numbers, st.integers(-(1 << 63), (1 << 63) - 1)),
            st.tuples(numbers, st.binary(max_size=300)),
        )
    )
)
def test_what_is_put_is_read(fields: list[tuple[int, int | bytes]]) -> None:
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            put_varint(out, number, value)
        else:
            put_bytes(out, number, value)
    read = [
        (number, to_int64(value) if isinstance(value, int) else bytes(value))
        for number, _, value in read_fields(memoryview(out))
    ]
    assert read == fields


def test_fixed_fields_are_little_endian() -> None:
    message = b"\x09" + struct.pack("<Q", 7) + b"\x15" + struct.pack("<I", 8)
    assert list(read_fields(memoryview(message))) == [(1, FIXED_64, 7), (2, FIXED_32, 8)]


def test_known_bytes() -> None:
    # The first two examples of protobuf.dev's "Encoding".
    assert list(read_fields(memoryview(b"\x08\x96\x01"))) == [(1, VARINT, 150)]
    ((number, kind, value),) = read_fields(memoryview(b"\x12\x07testing"))
    assert (number, kind, bytes(value)) == (2, LENGTH_DELIMITED, b"testing")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        b"\x00",  # field 0
        b"\x0b",  # a group
        b"\x08",  # ends before its value
        b"\x08" + b"\xff" * 10 + b"\x01",
        b"\x12\x05abc",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x0d\x01",
        b"\xff\xff\xff\xff\xff\x01",
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(MalformedError):
        list(read_fields(memoryview(message)))


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        for _, _, value in read_fields(memoryview(message)):
            assert isinstance(value, int) or len(value) <= len(message)
    except MalformedError:
        pass
