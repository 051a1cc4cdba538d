"""Frames in a stream of bytes that is cut anywhere (RFC 9113 section 4).

The content of DATA goes on as it arrives; every other frame is handed over whole, and what is kept
of a frame cut by a read is at most such a one.
What must not enter: what a frame means.
"""

from typing import Final, Protocol

from headrace.doors.http2.frames import (
    CONTINUATION,
    DATA,
    END_STREAM,
    FRAME_HEAD,
    FRAME_HEAD_BYTES,
    PADDED,
    PREFACE,
    STREAM_ID_MAX,
    ConnectionFault,
    ErrorCode,
)
from headrace.doors.http2.stream import Stream

__all__ = ["FrameSink", "FrameWalker"]

_LAST_KNOWN: Final = CONTINUATION


class FrameSink(Protocol):
    """Who is told. Methods raise ConnectionFault."""

    def on_data(self, stream_id: int, size_bytes: int) -> Stream | None:
        """A DATA frame begins, `size_bytes` with its padding; returns whose content it is, None if
        nobody wants it."""

    def on_content(self, stream: Stream, piece: memoryview) -> None:
        """The next piece of it; the view ends with the call."""

    def on_data_end(self, stream_id: int) -> None:
        """A DATA frame with END_STREAM has arrived."""

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        """Any other frame; the view ends with the call."""

    def on_unknown(self) -> None:
        """A frame of a type that is to be ignored (section 5.5)."""


class FrameWalker:
    """One direction of one connection: `walk` every read."""

    __slots__ = (
        "_block_bytes_max",
        "_cut",
        "_ends",
        "_frame_bytes_max",
        "_into",
        "_left",
        "_needed",
        "_padding",
        "_sink",
        "_stream_id",
        "has_preface",
    )

    def __init__(self, sink: FrameSink, frame_bytes_max: int, block_bytes_max: int) -> None:
        self.has_preface = False
        self._sink = sink
        self._frame_bytes_max = frame_bytes_max
        self._block_bytes_max = block_bytes_max
        self._cut = bytearray()
        """The beginning of a frame, or of the preface, whose rest has not arrived."""
        self._needed = len(PREFACE)
        """How much of it says more than what is there."""
        self._left = 0
        """Content of a DATA frame still to come, then `_padding`."""
        self._padding = 0
        self._into: Stream | None = None
        self._ends = False
        self._stream_id = 0

    def walk(self, read: memoryview) -> None:
        """Take up a read, whose memory is free again on return. Raises ConnectionFault."""
        position = self._mend(read)
        end = len(read)
        while position < end:
            if self._left or self._padding:
                position = self._content(read, position)
                continue
            after = self._begin(read, position)
            if after < 0:
                self._cut += read[position:]
                return
            position = after

    def _mend(self, read: memoryview) -> int:
        """Complete what the reads before cut; returns where the next frame begins."""
        position = 0
        while (self._cut or not self.has_preface) and position < len(read):
            taken = read[position : position + self._needed - len(self._cut)]
            position += len(taken)
            self._cut += taken
            if not self.has_preface:
                self._match_preface()
            elif len(self._cut) < self._needed:
                return position
            elif self._begin(memoryview(bytes(self._cut)), 0) >= 0:
                self._cut = bytearray()
        return position

    def _match_preface(self) -> None:
        if not PREFACE.startswith(self._cut):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is not an HTTP/2 client")
        if len(self._cut) == len(PREFACE):
            self.has_preface = True
            self._cut = bytearray()

    def _content(self, read: memoryview, position: int) -> int:
        taken = min(self._left, len(read) - position)
        if taken:
            if self._into is not None:
                self._sink.on_content(self._into, read[position : position + taken])
            self._left -= taken
            position += taken
        if not self._left:
            taken = min(self._padding, len(read) - position)
            self._padding -= taken
            position += taken
            self._end_content()
        return position

    def _end_content(self) -> None:
        if not self._left and not self._padding:
            self._into = None
            if self._ends:
                self._ends = False
                self._sink.on_data_end(self._stream_id)

    def _begin(self, read: memoryview, position: int) -> int:
        """Take up the frame at `position`: DATA up to its content, others as a whole. Returns
        where it goes on, -1 if `_needed` bytes of it are not there."""
        there = len(read) - position
        self._needed = FRAME_HEAD_BYTES
        if there < FRAME_HEAD_BYTES:
            return -1
        word: int
        word, flags, stream_id = FRAME_HEAD.unpack_from(read, position)
        size, kind = word >> 8, word & 0xFF
        stream_id &= STREAM_ID_MAX
        if size > self._frame_bytes_max:
            raise ConnectionFault(
                ErrorCode.FRAME_SIZE_ERROR,
                f"a frame of {size} bytes; up to {self._frame_bytes_max} are accepted",
            )
        position += FRAME_HEAD_BYTES
        if kind == DATA:
            return self._begin_data(read, position, size, flags, stream_id)
        if kind > _LAST_KNOWN:
            self._sink.on_unknown()
            self._left, self._into = size, None
            return position
        if size > self._block_bytes_max:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"a frame of type {kind} with {size} bytes; "
                f"up to {self._block_bytes_max} are accepted",
            )
        self._needed = FRAME_HEAD_BYTES + size
        if there < self._needed:
            return -1
        self._sink.on_frame(kind, flags, stream_id, read[position : position + size])
        return position + size

    def _begin_data(
        self, read: memoryview, position: int, size: int, flags: int, stream_id: int
    ) -> int:
        padding = 0
        content = size
        if flags & PADDED:
            if not size:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padding without its length")
            if len(read) == position:
                self._needed = FRAME_HEAD_BYTES + 1
                return -1
            padding = read[position]
            position += 1
            content = size - 1 - padding
            if content < 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
        self._into = self._sink.on_data(stream_id, size)
        self._left, self._padding = content, padding
        self._ends = bool(flags & END_STREAM)
        self._stream_id = stream_id
        self._end_content()
        return position
