"""The codecs of record batches: gzip, snappy, lz4 frames, zstd.

Records travel compressed as one block, and on the produce and fetch road the block stays closed:
only a look at single records (by time, in a console, in tests) opens it. So every library is
imported on first use. Whatever comes out is bounded, because a few kilobytes from a stranger can
unfold to gigabytes.

Snappy comes in two forms: a raw block (librdkafka), and the frames of the Java library (xerial),
which is also what is written here since every client reads it:

    16 bytes  0x82 "SNAPPY" 0x00, version i32 = 1, compatible version i32 = 1
    then      size i32, a raw block of so many bytes; again and again
"""

import sys
import zlib
from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from headrace.wire.errors import MalformedError

__all__ = ["DECOMPRESSED_BYTES_MAX", "Codec", "DecompressedSizeError", "compress", "decompress"]

DECOMPRESSED_BYTES_MAX: Final = 128 * 1024 * 1024

_ZSTD_WINDOW_LOG_MAX: Final = 27
"""Frames that need a history of more than 128 MiB are refused, as zstd itself does by default."""

_XERIAL_MAGIC: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + Struct(">ii").pack(1, 1)
_XERIAL_BLOCK_BYTES: Final = 32 * 1024
_SIZE: Final = Struct(">i")


class Codec(IntEnum):
    """Values of the three codec bits of a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


class DecompressedSizeError(MalformedError):
    """The bytes would unfold to more than the reader is willing to hold."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the records take more than {bytes_max} bytes when decompressed")


def compress(codec: int, data: bytes) -> bytes:
    """`data` as one block of `codec`. Raises ValueError for a codec that does not exist."""
    return _COMPRESS[Codec(codec)](data)


def decompress(
    codec: int, block: bytes | memoryview, *, bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> bytes:
    """What `block` holds.

    Raises MalformedError: an unknown codec, bytes that are no single complete block of it, and
    (DecompressedSizeError) more than `bytes_max` bytes of output.
    """
    try:
        open_block = _DECOMPRESS[Codec(codec)]
    except ValueError as error:
        raise MalformedError(f"there is no compression codec {codec}") from error
    opened = open_block(block, bytes_max)
    if len(opened) > bytes_max:
        raise DecompressedSizeError(bytes_max)
    return opened


def _open_stream(decompressor: Any, failure: type[Exception], block: Any, bytes_max: int) -> bytes:
    """For libraries with the interface of `bz2.BZ2Decompressor`: one byte more than allowed is
    enough to know."""
    try:
        opened: bytes = decompressor.decompress(block, bytes_max + 1)
    except failure as error:
        raise MalformedError(f"the records cannot be decompressed: {error}") from error
    if len(opened) > bytes_max:
        raise DecompressedSizeError(bytes_max)
    if not decompressor.eof:
        raise MalformedError("the compressed records end too early")
    if decompressor.unused_data:
        raise MalformedError("bytes follow the compressed records")
    return opened


def _gzip(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=31)
    return deflate.compress(data) + deflate.flush()


def _open_gzip(block: Any, bytes_max: int) -> bytes:
    return _open_stream(zlib.decompressobj(wbits=31), zlib.error, block, bytes_max)


def _snappy(data: bytes) -> bytes:
    import cramjam

    out = bytearray(_XERIAL_HEADER)
    for start in range(0, len(data), _XERIAL_BLOCK_BYTES):
        raw = bytes(cramjam.snappy.compress_raw(data[start : start + _XERIAL_BLOCK_BYTES]))
        out += _SIZE.pack(len(raw))
        out += raw
    return bytes(out)


def _open_snappy(block: Any, bytes_max: int) -> bytes:
    data = bytes(block)
    if not data.startswith(_XERIAL_MAGIC):
        return _open_snappy_block(data, 0, bytes_max)
    if len(data) < len(_XERIAL_HEADER):
        raise MalformedError("the compressed records end too early")
    out = bytearray()
    position = len(_XERIAL_HEADER)
    while position < len(data):
        start = position + _SIZE.size
        if start > len(data):
            raise MalformedError("the compressed records end too early")
        (size,) = _SIZE.unpack_from(data, position)
        position = start + size
        if size <= 0 or position > len(data):
            raise MalformedError(f"a snappy block of {size} bytes, {len(data) - start} are left")
        out += _open_snappy_block(data[start:position], len(out), bytes_max)
    return bytes(out)


def _open_snappy_block(raw: bytes, bytes_before: int, bytes_max: int) -> bytes:
    import cramjam

    try:
        if bytes_before + cramjam.snappy.decompress_raw_len(raw) > bytes_max:
            raise DecompressedSizeError(bytes_max)
        return bytes(cramjam.snappy.decompress_raw(raw))
    except cramjam.DecompressionError as error:
        raise MalformedError(f"the records cannot be decompressed: {error}") from error


def _lz4(data: bytes) -> bytes:
    import lz4.frame

    return lz4.frame.compress(data)  # type: ignore[no-any-return]


def _open_lz4(block: Any, bytes_max: int) -> bytes:
    import lz4.frame

    return _open_stream(lz4.frame.LZ4FrameDecompressor(), RuntimeError, block, bytes_max)


if sys.version_info >= (3, 14):

    def _zstd(data: bytes) -> bytes:
        from compression import zstd

        return zstd.compress(data)

    def _open_zstd(block: Any, bytes_max: int) -> bytes:
        from compression import zstd

        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX}
        return _open_stream(
            zstd.ZstdDecompressor(options=options), zstd.ZstdError, block, bytes_max
        )

else:

    def _zstd(data: bytes) -> bytes:
        import zstandard

        return zstandard.ZstdCompressor().compress(data)

    def _open_zstd(block: Any, bytes_max: int) -> bytes:
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG_MAX)
        try:
            size = zstandard.frame_content_size(block)
            if size > bytes_max:
                raise DecompressedSizeError(bytes_max)
            return decompressor.decompress(block, max_output_size=bytes_max, allow_extra_data=False)
        except zstandard.ZstdError as error:
            # A frame that does not tell its size fails in the same way when it breaks off and when
            # it would not fit.
            raise MalformedError(
                f"the records cannot be decompressed, or not to {bytes_max} bytes: {error}"
            ) from error


def _open_nothing(block: Any, bytes_max: int) -> bytes:
    return bytes(block)


_COMPRESS: Final[dict[Codec, Callable[[bytes], bytes]]] = {
    Codec.NONE: bytes,
    Codec.GZIP: _gzip,
    Codec.SNAPPY: _snappy,
    Codec.LZ4: _lz4,
    Codec.ZSTD: _zstd,
}

_DECOMPRESS: Final[dict[Codec, Callable[[Any, int], bytes]]] = {
    Codec.NONE: _open_nothing,
    Codec.GZIP: _open_gzip,
    Codec.SNAPPY: _open_snappy,
    Codec.LZ4: _open_lz4,
    Codec.ZSTD: _open_zstd,
}
