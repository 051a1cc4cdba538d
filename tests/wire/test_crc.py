"""One checksum, whichever way it is computed."""

import google_crc32c
import pytest

from headrace.wire import crc
from headrace.wire.crc import crc32c

SIZES = [0, 1, 9, 1000, 16 * 1024 - 1, 16 * 1024, 128 * 1024, 128 * 1024 + 1, 1_000_003]


def content(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def test_the_published_check_value_comes_out() -> None:
    assert crc32c(memoryview(b"123456789")) == 0xE3069283


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_any_buffer_of_any_size_has_its_checksum(size: int, kind: type) -> None:
    data = content(size)
    assert crc32c(memoryview(kind(data))) == google_crc32c.value(data)


@pytest.mark.parametrize("size", SIZES)
def test_without_the_c_function_the_answer_is_the_same(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crc, "_in_place", None)
    data = content(size)
    assert crc32c(memoryview(bytearray(data))) == google_crc32c.value(data)


def test_a_part_of_a_buffer_is_summed_where_it_lies() -> None:
    buffer = bytearray(content(100_000))
    view = memoryview(buffer)[21:90_021]
    assert crc32c(view) == google_crc32c.value(bytes(view))
    view.release()
    buffer.append(0)


@pytest.mark.skipif(google_crc32c.implementation != "c", reason="google-crc32c has no C part here")
def test_large_buffers_are_not_copied() -> None:
    assert crc._in_place is not None
