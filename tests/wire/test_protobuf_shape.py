"""Which messages fit a descriptor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import put_bytes, put_varint
from headrace.wire.protobuf_shape import DEPTH_MAX, read_shape

INT64, STRING, MESSAGE, DOUBLE, FIXED32 = 3, 9, 11, 1, 7


def message(*fields):
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            put_varint(out, number, value)
        else:
            put_bytes(out, number, value)
    return bytes(out)


def field(name, number, kind, label=1, type_name=b""):
    return (2, message((1, name), (3, number), (4, label), (5, kind), (6, type_name)))


NESTED = (3, message((1, b"Point"), field(b"x", 1, DOUBLE)))
ROW = message(
    (1, b"Row"),
    field(b"id", 1, INT64, label=2),
    field(b"name", 2, STRING),
    field(b"at", 3, MESSAGE, type_name=b".some.where.Row.Point"),
    field(b"numbers", 4, INT64, label=3),
    field(b"words", 5, FIXED32, label=3),
    field(b"next", 6, MESSAGE, type_name=b".some.where.Row"),
    field(b"other", 7, MESSAGE, type_name=b".another.Thing"),
    NESTED,
)
X = b"\x09" + bytes(8)
"""`x` of a Point."""


@pytest.mark.parametrize(
    "content",
    [
        message((1, 1)),
        message((1, 1), (2, "grün".encode()), (3, X)),
        message((1, 1), (4, 7), (4, 8)),
        message((1, 1), (4, b"\x01\x80\x01")),  # packed
        message((1, 1), (5, bytes(8))),
        message((1, 1), (6, message((1, 2), (6, message((1, 3)))))),
        message((1, 1), (7, b"\xff\xff")),  # a type that is not known here
        message((2, b"x"), (1, 1), (1, 2)),
    ],
)
def test_what_fits(content):
    read_shape(ROW).check(memoryview(content))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "without id"),
        (message((1, b"x")), "Row.id has the wire type 0, not 2"),
        (message((1, 1), (8, 1)), "no field 8"),
        (message((1, 1), (2, b"\xff")), "Row.name is not UTF-8"),
        (message((1, 1), (2, 5)), "Row.name has the wire type 2, not 0"),
        (message((1, 1), (3, b"\x09")), "beyond|ends"),
        (message((1, 1), (3, message((2, 1)))), "Row.Point has no field 2"),
        (message((1, 1), (4, b"\x80")), "Row.numbers ends within"),
        (message((1, 1), (5, b"123")), "Row.words ends within"),
        (message((1, 1), (6, b"")), "Row is without id"),
        (message((1, 1))[:-1], "ends"),
    ],
)
def test_what_does_not_fit_is_named(content, why):
    with pytest.raises(MalformedError, match=why):
        read_shape(ROW).check(memoryview(content))


def test_messages_cannot_be_nested_without_end():
    content = message((1, 1))
    for _ in range(DEPTH_MAX + 2):
        content = message((1, 1), (6, content))
    with pytest.raises(MalformedError, match="deep"):
        read_shape(ROW).check(memoryview(content))


@given(st.binary(max_size=200))
def test_no_descriptor_and_no_record_harms(data):
    for each in (data, ROW + data):
        try:
            shape = read_shape(each)
            shape.check(memoryview(data))
        except MalformedError:
            continue


@pytest.mark.parametrize("bad", [b"", message((1, b"R"), field(b"g", 1, 10)), b"\x0a"])
def test_what_is_no_descriptor_is_refused(bad):
    with pytest.raises(MalformedError):
        read_shape(bad)
