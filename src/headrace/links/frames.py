"""What is spoken on a link, and how frames are found in a stream of bytes.

    size  u32   of what follows (big-endian, as all numbers here)
    kind  u8    of a request; in an answer 0 for granted, 255 for refused
    id    u32   of the request, given back in its answer; requests of one link differ
    body  size - 5 bytes

The body of a refusal is an error code i16 and a message in UTF-8. The first request of a link is
HELLO: version u16, the asking worker's index u16; it is granted with an empty body, or the link is
closed. A PING is granted with an empty body, at once. All other kinds, and their bodies, are the
owners'. Requests are taken up in the order in which they were sent; answers come in any order.

Pure: no socket, no loop. Frames are views into a buffer that grows as bytes arrive, never by what
a frame announces.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from headrace.wire.errors import ErrorCode, MalformedError, RequestError

__all__ = [
    "BODY_BYTES_MAX",
    "GRANTED",
    "HELLO",
    "PING",
    "REFUSED",
    "VERSION",
    "Buffer",
    "Frame",
    "FrameReader",
    "frame_parts",
    "hello_body",
    "read_hello",
    "read_refusal",
    "refusal_body",
]

VERSION: Final = 1
"""Of all that workers say to each other; one of another version is a worker of another release."""

GRANTED: Final = 0
HELLO: Final = 1
PING: Final = 2
REFUSED: Final = 255

BODY_BYTES_MAX: Final = 128 << 20
"""Of one request or answer: a record batch of the largest size, and what says where it goes."""
BUFFER_BYTES: Final = 256 * 1024
"""Of one connection at rest."""
MESSAGE_CHARS_MAX: Final = 1000

_HEAD: Final = struct.Struct(">IBI")
_SIZE: Final = struct.Struct(">I")
_HELLO: Final = struct.Struct(">HH")
_CODE: Final = struct.Struct(">h")
_HEAD_AFTER_SIZE: Final = _HEAD.size - _SIZE.size

Buffer = bytes | bytearray | memoryview


class Frame(NamedTuple):
    kind: int
    id: int
    body: memoryview
    """Valid until `FrameReader.settle`."""


def frame_parts(kind: int, id_: int, body: Sequence[Buffer]) -> list[Buffer]:
    """The pieces of a frame, in order. Raises ValueError for one that is too large."""
    size = sum(map(len, body))
    if size > BODY_BYTES_MAX:
        raise ValueError(f"{size} bytes; a link takes {BODY_BYTES_MAX}")
    return [_HEAD.pack(size + _HEAD_AFTER_SIZE, kind, id_), *body]


def hello_body(worker: int) -> bytes:
    return _HELLO.pack(VERSION, worker)


def read_hello(body: memoryview) -> int:
    """The asking worker's index. Raises MalformedError, also for another version."""
    if len(body) != _HELLO.size:
        raise MalformedError("no greeting of a worker")
    version, worker = _HELLO.unpack(body)
    if version != VERSION:
        raise MalformedError(f"a worker that speaks version {version}, this one {VERSION}")
    return int(worker)


def refusal_body(error: RequestError) -> bytes:
    return _CODE.pack(error.code) + error.message[:MESSAGE_CHARS_MAX].encode("utf-8", "replace")


def read_refusal(body: memoryview) -> RequestError:
    """Raises MalformedError."""
    if len(body) < _CODE.size:
        raise MalformedError("a refusal without a code")
    (code,) = _CODE.unpack_from(body)
    try:
        known = ErrorCode(code)
    except ValueError:
        raise MalformedError(f"a refusal with the code {code}") from None
    return RequestError(known, str(body[_CODE.size :], "utf-8", "replace"))


class FrameReader:
    """`space` -> receive -> `received` -> `next_frame` until None -> `settle`."""

    __slots__ = ("_buffer", "_end", "_start")

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = 0
        self._end = 0

    def space(self) -> memoryview:
        """Where to receive; never empty after `settle`."""
        return self._buffer[self._end :]

    def received(self, size_bytes: int) -> None:
        self._end += size_bytes

    def next_frame(self) -> Frame | None:
        """The next whole frame. Raises MalformedError."""
        start = self._start
        if self._end - start < _HEAD.size:
            return None
        size, kind, id_ = _HEAD.unpack_from(self._buffer, start)
        if not 0 <= size - _HEAD_AFTER_SIZE <= BODY_BYTES_MAX:
            raise MalformedError(f"a frame of {size} bytes")
        end = start + _SIZE.size + size
        if end > self._end:
            return None
        self._start = end
        return Frame(kind, id_, self._buffer[start + _HEAD.size : end])

    def settle(self) -> None:
        """Keep what is left where the next bytes continue it."""
        rest = self._end - self._start
        needed = BUFFER_BYTES
        if rest >= _SIZE.size:
            (size,) = _SIZE.unpack_from(self._buffer, self._start)
            needed = max(min(size + _SIZE.size, 2 * rest), needed)
        if needed > len(self._buffer) or (not rest and len(self._buffer) > BUFFER_BYTES):
            larger = memoryview(bytearray(needed))
            larger[:rest] = self._buffer[self._start : self._end]
            self._buffer = larger
        elif rest and self._start:
            self._buffer[:rest] = self._buffer[self._start : self._end]
        self._start, self._end = 0, rest
