"""How statuses and timeouts are written."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.http2.status import MESSAGE_BYTES_MAX, encode_message, read_timeout


@given(st.text(max_size=100))
def test_a_message_survives_percent_encoding(text: str) -> None:
    encoded = encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert urllib.parse.unquote(encoded.decode()) == text


def test_a_message_without_end_is_cut() -> None:
    assert len(encode_message("%" * 10_000)) <= MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("4m", 0.004), ("5u", 5e-6), ("99999999n", 0.099999999)],
)
def test_a_timeout_is_read(text: str, seconds: float) -> None:
    assert read_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", "1 S", "٣S"])
def test_what_is_no_timeout_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="grpc-timeout"):
        read_timeout(text)
