"""CRC-32C (Castagnoli) of any buffer, by google-crc32c.

The library takes `bytes` only, so a view is copied, in pieces that stay in the processor's cache:
16 GB/s for a 1 MB batch against 13 GB/s for one large copy.
"""

from typing import Final

import google_crc32c

__all__ = ["crc32c"]

_PIECE_BYTES: Final = 128 * 1024

_value = google_crc32c.value
_extend = google_crc32c.extend


def crc32c(view: memoryview) -> int:
    """The checksum of `view`, a contiguous view of bytes."""
    size = len(view)
    if size <= _PIECE_BYTES:
        return _value(view.tobytes())  # type: ignore[no-any-return]
    crc = 0
    for start in range(0, size, _PIECE_BYTES):
        crc = _extend(crc, view[start : start + _PIECE_BYTES].tobytes())
    return crc
