"""What leaves a connection: control frames at once, content as far as windows allow, in rounds.

Nothing is framed before the socket takes it: `output` is asked for more when there is room, so
what waits is each stream's `unsent` and never a copy of it (RFC 9113 sections 5.2 and 6.9).
What must not enter: what is received.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from headrace.doors.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_DEFAULT,
    FRAME_HEAD,
    HEADERS,
    WINDOW_BYTES_INITIAL,
    WINDOW_BYTES_MAX,
    frame,
)
from headrace.doors.http2.headers import Headers, HeaderWriter
from headrace.doors.http2.limits import MemoryBudget
from headrace.doors.http2.stream import Stream

__all__ = ["Sender"]

PIECE_BYTES_MAX: Final = 256 * 1024
"""Of one stream before the next has its turn."""


class Sender:
    """The sending half of a connection. `on_sent` is told of every stream whose end has left."""

    __slots__ = (
        "_budget",
        "_control",
        "_on_sent",
        "_round",
        "frame_bytes_max",
        "headers",
        "stream_window",
        "window",
    )

    def __init__(self, on_sent: Callable[[Stream], None], budget: MemoryBudget) -> None:
        self.headers = HeaderWriter()
        self.window = WINDOW_BYTES_INITIAL
        self.stream_window = WINDOW_BYTES_INITIAL
        """What a new stream begins with, as the peer's SETTINGS say."""
        self.frame_bytes_max = FRAME_BYTES_DEFAULT
        self._control = bytearray()
        self._round: OrderedDict[Stream, None] = OrderedDict()
        """Streams with something to send whose own window is open."""
        self._on_sent = on_sent
        self._budget = budget

    def control(self, frames: bytes) -> None:
        self._control += frames

    def control_bytes(self) -> int:
        return len(self._control)

    def respond(self, stream: Stream, headers: Headers, *, ends: bool) -> None:
        """Send `headers`, which fit in a frame of any peer, before whatever content waits."""
        flags = END_HEADERS | END_STREAM if ends else END_HEADERS
        self._control += frame(HEADERS, flags, stream.id, self.headers.encode(headers))
        if ends:
            self._on_sent(stream)

    def send(self, stream: Stream, content: bytes) -> None:
        stream.unsent += content
        self._budget.unsent_bytes += len(content)
        self._queue(stream)

    def finish(self, stream: Stream, trailers: Headers) -> None:
        """End the stream with `trailers`, after what waits."""
        if stream.unsent:
            stream.trailers = trailers
        else:
            self.respond(stream, trailers, ends=True)

    def widen(self, stream: Stream, size_bytes: int) -> bool:
        """WINDOW_UPDATE of a stream, or a change of SETTINGS; False: the window is too large."""
        stream.send_window += size_bytes
        self._queue(stream)
        return stream.send_window <= WINDOW_BYTES_MAX

    def widen_connection(self, size_bytes: int) -> bool:
        self.window += size_bytes
        return self.window <= WINDOW_BYTES_MAX

    def _queue(self, stream: Stream) -> None:
        if stream.unsent and stream.send_window > 0:
            self._round[stream] = None

    def forget(self, stream: Stream) -> None:
        """The stream is closed: send nothing more of it."""
        self._budget.unsent_bytes -= len(stream.unsent)
        stream.unsent = bytearray()
        stream.trailers = None
        self._round.pop(stream, None)

    def clear(self) -> None:
        """The connection failed: no content leaves any more."""
        self._round.clear()

    def output(self, size_bytes_max: int) -> bytearray:
        """Bytes to send now, about `size_bytes_max`; empty: there are none, or no window."""
        out, self._control = self._control, bytearray()
        while self._round and self.window > 0 and len(out) < size_bytes_max:
            stream, _ = self._round.popitem(last=False)
            self._content(stream, out)
            self._queue(stream)
        out += self._control  # ends of streams that came about just now
        self._control = bytearray()
        return out

    def _content(self, stream: Stream, out: bytearray) -> None:
        unsent = stream.unsent
        size = min(len(unsent), stream.send_window, self.window, PIECE_BYTES_MAX)
        if size <= 0:
            return
        stream.send_window -= size
        self.window -= size
        with memoryview(unsent) as content:
            for start in range(0, size, self.frame_bytes_max):
                piece = content[start : min(size, start + self.frame_bytes_max)]
                out += FRAME_HEAD.pack(len(piece) << 8 | DATA, 0, stream.id)
                out += piece
                piece.release()
        del unsent[:size]
        self._budget.unsent_bytes -= size
        if not unsent and stream.trailers is not None:
            trailers, stream.trailers = stream.trailers, None
            payload = self.headers.encode(trailers)
            out += frame(HEADERS, END_HEADERS | END_STREAM, stream.id, payload)
            self._on_sent(stream)
