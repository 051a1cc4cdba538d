"""One end of a link on its transport: whole frames in, frames out.

The answering end reads nothing while the other end takes nothing, so what was asked for, and not
taken, is bounded. The asking end always reads: an answer takes no room there, and if both ends
waited for the other to read, neither would. What must not enter: who asks and who answers.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

from headrace.links.frames import Buffer, Frame, FrameReader, frame_parts
from headrace.wire.errors import MalformedError

__all__ = ["LinkProtocol"]

WAITING_BYTES_MAX: Final = 1 << 20
"""Written and not taken by the socket; beyond it nothing is read."""
JOINED_BYTES_MAX: Final = 64 * 1024
"""A frame up to this size is written as one piece; copying it costs less than another piece."""


class LinkProtocol(asyncio.BufferedProtocol):
    """`on_frame` is told each frame, whose body is valid until it returns, and may raise
    MalformedError; `on_lost` is told why the connection has ended, once. One that `always_reads`
    does so while the other end does not."""

    def __init__(
        self,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[str], None],
        *,
        always_reads: bool,
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._always_reads = always_reads
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._why = "the other end closed it"
        self._is_held = False
        self._is_blocked = False
        self._is_over = False

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._is_over:
            cast("asyncio.Transport", transport).abort()
            return
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WAITING_BYTES_MAX)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._reader
        reader.received(nbytes)
        try:
            while self._transport is not None:
                frame = reader.next_frame()
                if frame is None:
                    break
                self._on_frame(frame)
        except MalformedError as error:
            self.abort(str(error))
            return
        reader.settle()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._is_blocked = not self._always_reads
        self._set_reading()

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._set_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._is_over = True
        self._on_lost(f"{self._why}: {exc}" if exc is not None else self._why)

    # Used by its owner

    def send(self, kind: int, id_: int, body: Sequence[Buffer]) -> None:
        """Raises ValueError for a frame that is too large. Goes nowhere after the end."""
        parts = frame_parts(kind, id_, body)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if sum(map(len, parts)) <= JOINED_BYTES_MAX:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)

    def hold(self, *, is_held: bool) -> None:
        """Whether to read no more for now."""
        self._is_held = is_held
        self._set_reading()

    def abort(self, why: str) -> None:
        """End the connection at once, also before it is made; what was received and not handled is
        not handled. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        self._why = why
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _set_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if (self._is_held or self._is_blocked) == transport.is_reading():
            if transport.is_reading():
                transport.pause_reading()
            else:
                transport.resume_reading()
