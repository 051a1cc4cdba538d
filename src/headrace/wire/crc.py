"""CRC-32C (Castagnoli) of any buffer, by google-crc32c.

The package's Python function takes `bytes` only, so a view must be copied for it: in pieces that
stay in the processor's cache that is 10 GB/s. For large views its C function is called where they
lie, through ctypes, at 25 GB/s. Where that function cannot be found the copies do.
"""

import ctypes
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Final

import google_crc32c

__all__ = ["crc32c", "crc32c_of"]

_PIECE_BYTES: Final = 128 * 1024
_IN_PLACE_BYTES_MIN: Final = 16 * 1024
"""Below it a copy costs less than the call through ctypes."""

_value = google_crc32c.value
_extend = google_crc32c.extend


def crc32c(view: memoryview) -> int:
    """The checksum of `view`, a contiguous view of bytes."""
    size = len(view)
    if size < _IN_PLACE_BYTES_MIN:
        return _value(view.tobytes())  # type: ignore[no-any-return]
    if _in_place is not None and not view.readonly:
        return _in_place(0, ctypes.byref(ctypes.c_char.from_buffer(view)), size)
    return _by_pieces(view)


def crc32c_of(pieces: Iterable[bytes]) -> int:
    """The checksum of all `pieces` together."""
    crc = 0
    for piece in pieces:
        crc = _extend(crc, piece)
    return crc


def _by_pieces(view: memoryview) -> int:
    crc = 0
    for start in range(0, len(view), _PIECE_BYTES):
        crc = _extend(crc, view[start : start + _PIECE_BYTES].tobytes())
    return crc


def _find_in_place() -> Callable[..., int] | None:
    """`uint32_t crc32c_extend(uint32_t crc, const uint8_t *data, size_t count)`, if the package's
    C part is there and gives the right answer."""
    try:
        extension = import_module("google_crc32c._crc32c")
        extend = ctypes.PyDLL(extension.__file__).crc32c_extend
    except (ImportError, AttributeError, OSError):
        return None
    extend.argtypes = (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t)
    extend.restype = ctypes.c_uint32
    sample = bytearray(b"123456789")
    pointer = ctypes.byref(ctypes.c_char.from_buffer(sample))
    return extend if extend(0, pointer, len(sample)) == 0xE3069283 else None


_in_place: Final = _find_in_place()
