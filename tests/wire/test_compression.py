import os

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire.compression import Codec, DecompressedSizeError, compress, decompress
from headrace.wire.errors import MalformedError

CODECS = list(Codec)
CLOSED = [codec for codec in Codec if codec != Codec.NONE]
NAMED = {"ids": lambda codec: codec.name.lower()}


@given(st.sampled_from(CODECS), st.binary(max_size=500), st.integers(0, 500))
def test_what_is_compressed_comes_back(codec: Codec, data: bytes, repeat: int) -> None:
    block = compress(codec, data * repeat)
    assert decompress(codec, block) == data * repeat
    assert decompress(codec, memoryview(block)) == data * repeat


@pytest.mark.parametrize("codec", CODECS, **NAMED)
def test_the_bound_is_exact(codec: Codec) -> None:
    data = os.urandom(100_000)
    block = compress(codec, data)
    assert decompress(codec, block, bytes_max=100_000) == data
    with pytest.raises(DecompressedSizeError, match="more than 99999 bytes"):
        decompress(codec, block, bytes_max=99_999)


@pytest.mark.parametrize("codec", CLOSED, **NAMED)
def test_a_bomb_is_refused(codec: Codec) -> None:
    block = compress(codec, bytes(20_000_000))
    assert len(block) < 1_100_000
    with pytest.raises(DecompressedSizeError):
        decompress(codec, block, bytes_max=1_000_000)


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.LZ4, Codec.ZSTD], **NAMED)
def test_an_incomplete_block_is_malformed(codec: Codec) -> None:
    block = compress(codec, os.urandom(1000))
    for size in range(len(block)):
        with pytest.raises(MalformedError):
            decompress(codec, block[:size])


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.LZ4, Codec.ZSTD], **NAMED)
def test_bytes_after_the_block_are_malformed(codec: Codec) -> None:
    with pytest.raises(MalformedError):
        decompress(codec, compress(codec, b"abc") + b"x")


def test_a_zstd_frame_that_does_not_tell_its_size_is_bounded_too() -> None:
    block = zstd_stream(bytes(300_000))
    assert decompress(Codec.ZSTD, block, bytes_max=300_000) == bytes(300_000)
    for broken, bytes_max in ((block, 299_999), (block[:-1], 300_000)):
        with pytest.raises(MalformedError):
            decompress(Codec.ZSTD, broken, bytes_max=bytes_max)


def zstd_stream(data: bytes) -> bytes:
    """As written by a client that compresses while it collects."""
    try:
        import zstandard
    except ImportError:
        from compression import zstd

        compressor = zstd.ZstdCompressor()
        return compressor.compress(data) + compressor.flush()
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()


def test_snappy_is_read_raw_and_written_in_frames() -> None:
    data = os.urandom(40_000) + bytes(40_000)
    framed = compress(Codec.SNAPPY, data)
    assert framed.startswith(b"\x82SNAPPY\0\0\0\0\1\0\0\0\1")
    assert decompress(Codec.SNAPPY, framed) == data
    assert decompress(Codec.SNAPPY, bytes(cramjam.snappy.compress_raw(data))) == data


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\5abcd", b"\xff\xff\xff\xff", b"\0\0\0\0"])
def test_broken_snappy_frames_are_malformed(tail: bytes) -> None:
    with pytest.raises(MalformedError):
        decompress(Codec.SNAPPY, compress(Codec.SNAPPY, b"") + tail)


@pytest.mark.parametrize("codec", [5, 7, -1])
def test_a_codec_that_does_not_exist_is_malformed(codec: int) -> None:
    with pytest.raises(MalformedError, match=f"no compression codec {codec}"):
        decompress(codec, b"")
    with pytest.raises(ValueError, match=str(codec)):
        compress(codec, b"")


@given(st.sampled_from(CLOSED), st.binary(max_size=60))
def test_random_bytes_are_malformed_and_nothing_else(codec: Codec, data: bytes) -> None:
    try:
        decompress(codec, data, bytes_max=1 << 20)
    except MalformedError:
        return


@given(st.sampled_from(CLOSED), st.binary(min_size=1, max_size=200), st.data())
def test_damaged_blocks_open_or_are_malformed(
    codec: Codec, data: bytes, more: st.DataObject
) -> None:
    damaged = bytearray(compress(codec, data * 3))
    for _ in range(more.draw(st.integers(1, 4))):
        damaged[more.draw(st.integers(0, len(damaged) - 1))] = more.draw(st.integers(0, 255))
    try:
        decompress(codec, bytes(damaged), bytes_max=1 << 20)
    except MalformedError:
        return
