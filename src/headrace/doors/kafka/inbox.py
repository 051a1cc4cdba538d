"""Frames out of a stream of bytes: no socket, no loop, no copy of a frame that arrives whole.

Every connection reads into one shared scratch buffer, so an idle connection owns no memory. Only
when a read ends inside a frame does the connection take a buffer of its own from the pool; it
grows as bytes arrive, never by what the peer announces, and goes back when the connection rests.

A frame is a 4-byte big-endian length and that many bytes (Kafka protocol, "Protocol Primitives").
"""

import struct
from typing import Final

from headrace.wire.errors import MalformedError

__all__ = ["BufferPool", "BuffersExhausted", "Inbox"]

SCRATCH_BYTES: Final = 1 << 20
OWN_BYTES_MIN: Final = 64 * 1024
OWN_BYTES_EAGER_MAX: Final = 4 << 20
"""Up to here a buffer is made for two frames, which keeps 1 MB ones in the processor's cache; above
it grows as bytes arrive."""
POOLED_BUFFERS_MAX: Final = 8
FRAME_BYTES_MIN: Final = 8
"""api_key, api_version and correlation_id."""

_I32: Final = struct.Struct(">i")
_I16: Final = struct.Struct(">h")


class BuffersExhausted(Exception):
    """All connections together would hold more unfinished requests than the broker allows."""


class BufferPool:
    """The receive memory of one door: a shared scratch buffer and a bounded budget of others."""

    __slots__ = ("_budget_bytes", "_spare", "bytes_in_use", "scratch")

    def __init__(self, budget_bytes: int) -> None:
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self.bytes_in_use = 0
        self._budget_bytes = budget_bytes
        self._spare: list[memoryview] = []

    def take(self, size_bytes: int) -> memoryview:
        """A buffer of at least `size_bytes`. Raises BuffersExhausted."""
        if self._spare and OWN_BYTES_MIN < size_bytes <= OWN_BYTES_EAGER_MAX:
            buffer = self._spare.pop()
        else:
            if self.bytes_in_use + size_bytes > self._budget_bytes:
                raise BuffersExhausted(
                    f"unfinished requests already hold {self.bytes_in_use} of "
                    f"{self._budget_bytes} bytes"
                )
            buffer = memoryview(bytearray(size_bytes))
        self.bytes_in_use += len(buffer)
        return buffer

    def give(self, buffer: memoryview) -> None:
        """Take back what `take` gave. Full-size buffers are kept: their pages are paid for."""
        self.bytes_in_use -= len(buffer)
        if len(buffer) == OWN_BYTES_EAGER_MAX and len(self._spare) < POOLED_BUFFERS_MAX:
            self._spare.append(buffer)

    def is_pressed(self) -> bool:
        """Whether new buffers should hold one frame only, and no more than twice what came of it:
        some hundreds who announce large requests and send none must not take all there is."""
        return self.bytes_in_use * 2 > self._budget_bytes


class Inbox:
    """What one connection has received and not yet handled.

    `space` -> recv -> `received` -> `next_frame` until None -> `settle`. Frames are views that
    stay valid until `settle`.
    """

    __slots__ = ("_buffer", "_end", "_frame_bytes_max", "_pool", "_start")

    def __init__(self, pool: BufferPool, frame_bytes_max: int) -> None:
        self._pool = pool
        self._frame_bytes_max = frame_bytes_max
        self._buffer = pool.scratch
        self._start = 0
        self._end = 0

    def space(self) -> memoryview:
        """Where to receive; empty when the requests that wait must be handled first."""
        return self._buffer[self._end :]

    def received(self, size_bytes: int) -> None:
        self._end += size_bytes

    def next_frame(self) -> memoryview | None:
        """The next whole frame without its length, or None. Raises MalformedError."""
        start = self._start
        if self._end - start < 4:
            return None
        (size,) = _I32.unpack_from(self._buffer, start)
        if not FRAME_BYTES_MIN <= size <= self._frame_bytes_max:
            raise MalformedError(
                f"a request of {size} bytes; {FRAME_BYTES_MIN} to {self._frame_bytes_max} are "
                "accepted (socket.request.max.bytes)"
            )
        end = start + 4 + size
        if end > self._end:
            return None
        self._start = end
        return self._buffer[start + 4 : end]

    def next_api_key(self) -> int:
        """The first field of the next frame, once that has arrived; -1 before."""
        if self._end - self._start < 6:
            return -1
        (key,) = _I16.unpack_from(self._buffer, self._start + 4)
        return int(key)

    def settle(self) -> None:
        """Keep what is left where the next read continues it. Raises BuffersExhausted."""
        rest = self._end - self._start
        if rest == 0:
            self._start = self._end = 0
            return
        owned = self._buffer is not self._pool.scratch
        needed = self._size_needed(rest)
        if owned and needed <= len(self._buffer) - self._start:
            return
        if owned and needed <= len(self._buffer):
            self._buffer[:rest] = self._buffer[self._start : self._end]
        else:
            self._move(needed, rest)
        self._start, self._end = 0, rest

    def _size_needed(self, rest: int) -> int:
        """The bytes from the next frame's start that should fit: all of it, or twice what came."""
        if rest < 4:
            return OWN_BYTES_MIN if self._buffer is self._pool.scratch else 4
        (size,) = _I32.unpack_from(self._buffer, self._start)
        frame = int(size) + 4
        if frame <= OWN_BYTES_EAGER_MAX and not self._pool.is_pressed():
            return max(frame, rest)
        eager = OWN_BYTES_MIN if self._pool.is_pressed() else OWN_BYTES_EAGER_MAX
        return max(min(frame, max(2 * rest, eager)), rest)

    def _move(self, needed: int, rest: int) -> None:
        size = max(needed, OWN_BYTES_MIN)
        if size < OWN_BYTES_EAGER_MAX and not self._pool.is_pressed():
            size = min(2 * size, OWN_BYTES_EAGER_MAX) if size > OWN_BYTES_MIN else OWN_BYTES_MIN
        larger = self._pool.take(size)
        larger[:rest] = self._buffer[self._start : self._end]
        self._drop()
        self._buffer = larger

    def waiting_bytes(self) -> int:
        """Received and not yet handled."""
        return self._end - self._start

    def rest(self) -> None:
        """Give the buffer back if nothing is waiting in it."""
        if self._start == self._end:
            self._drop()
            self._buffer = self._pool.scratch
            self._start = self._end = 0

    def close(self) -> None:
        self._drop()
        self._buffer = self._pool.scratch
        self._start = self._end = 0

    def _drop(self) -> None:
        if self._buffer is not self._pool.scratch:
            self._pool.give(self._buffer)
