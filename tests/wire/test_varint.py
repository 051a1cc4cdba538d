import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire import varint
from headrace.wire.errors import MalformedError

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=3))
def test_unsigned_numbers_come_back(value: int, before: bytes) -> None:
    out = bytearray(before)
    varint.write_uvarint(out, value)
    assert varint.read_uvarint(bytes(out), len(before)) == (value, len(out))
    assert len(out) - len(before) == max(1, -(-value.bit_length() // 7))


@given(INT32)
def test_signed_32_bit_numbers_come_back(value: int) -> None:
    out = bytearray()
    varint.write_varint(out, value)
    assert varint.read_varint(bytes(out), 0) == (value, len(out))


@given(INT64)
def test_signed_64_bit_numbers_come_back(value: int) -> None:
    out = bytearray()
    varint.write_varint(out, value)
    assert varint.read_varlong(bytes(out), 0) == (value, len(out))


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (-65, "8101")]
)
def test_zigzag_follows_the_protocol(value: int, encoded: str) -> None:
    out = bytearray()
    varint.write_varint(out, value)
    assert out.hex() == encoded


@pytest.mark.parametrize(
    ("read", "encoded"),
    [
        (varint.read_uvarint, b"\xff" * 5),
        (varint.read_uvarint, b"\xff\xff\xff\xff\x10"),
        (varint.read_varint, b"\x80" * 6),
        (varint.read_varlong, b"\xff" * 10),
        (varint.read_varlong, b"\xff" * 9 + b"\x02"),
    ],
)
def test_a_number_too_wide_is_malformed(read: object, encoded: bytes) -> None:
    with pytest.raises(MalformedError):
        read(encoded, 0)  # type: ignore[operator]


@given(st.binary(max_size=12))
def test_any_bytes_give_a_number_or_an_error(data: bytes) -> None:
    for read in (varint.read_uvarint, varint.read_varint, varint.read_varlong):
        try:
            _, position = read(data, 0)
        except (MalformedError, IndexError):
            continue
        assert 0 < position <= len(data)
