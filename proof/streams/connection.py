"""One TCP connection with many ephemeral Zerobus streams: HTTP/2 made by hand, for little work.

It obeys windows, settings and pings; whoever sends asks `has_room` first. What must not enter: what
streams do (`producer`).
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from hpack import Decoder, Encoder

from headrace.doors.http2 import frames
from headrace.doors.http2.messages import prefixed
from headrace.wire.protobuf import read_fields, to_int64

__all__ = ["Connection", "Listener"]

PATH: Final = "/databricks.zerobus.Zerobus/EphemeralStream"
CREATED, ACK, CLOSE_SIGNAL = 1, 2, 3
"""Arms of the response."""


class Listener(Protocol):
    """Told what a stream hears."""

    def created(self) -> None: ...

    def acknowledged(self, up_to: int) -> None: ...

    def close_asked(self) -> None: ...

    def ended(self, status: str, message: str) -> None:
        """The stream is over; nothing follows."""


class Connection(asyncio.Protocol):
    def __init__(self, table: str, broken: Callable[[str], None]) -> None:
        self._broken = broken
        self._is_closing = False
        self._headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", PATH),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("x-databricks-zerobus-table-name", table),
        ]
        self._encoder, self._decoder = Encoder(), Decoder()
        self._received = bytearray()
        self._streams: dict[int, Listener] = {}
        self._windows: dict[int, int] = {}
        self._window = frames.WINDOW_BYTES_INITIAL
        self._stream_window = frames.WINDOW_BYTES_INITIAL
        self._next_id = 1
        self._out: list[bytes] = []
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        hello = [
            frames.PREFACE,
            frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: frames.WINDOW_BYTES_MAX}),
            frames.window_update(0, frames.WINDOW_BYTES_MAX - frames.WINDOW_BYTES_INITIAL),
        ]
        transport.write(b"".join(hello))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_closing:
            self._broken(f"a connection broke: {error}")

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False

    def open(self, listener: Listener, create: bytes) -> int:
        """The stream's id."""
        number = self._next_id
        self._next_id += 2
        self._streams[number] = listener
        self._windows[number] = self._stream_window
        block = self._encoder.encode(self._headers)
        self._out.append(frames.frame(frames.HEADERS, frames.END_HEADERS, number, block))
        self.send(number, prefixed([create]))
        return number

    def has_room(self, number: int, size_bytes: int) -> bool:
        return not self._is_paused and size_bytes <= min(self._window, self._windows[number])

    def send(self, number: int, content: bytes) -> None:
        self._window -= len(content)
        self._windows[number] -= len(content)
        self._out.append(frames.frame(frames.DATA, 0, number, content))

    def end(self, number: int) -> None:
        """Send no more on it."""
        self._out.append(frames.frame(frames.DATA, frames.END_STREAM, number))

    def flush(self) -> None:
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        self._is_closing = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        position = 0
        while len(received) - position >= frames.FRAME_HEAD_BYTES:
            word, flags, number = frames.FRAME_HEAD.unpack_from(received, position)
            end = position + frames.FRAME_HEAD_BYTES + (word >> 8)
            if end > len(received):
                break
            payload = bytes(received[position + frames.FRAME_HEAD_BYTES : end])
            self._frame(word & 0xFF, flags, number, payload)
            position = end
        del received[:position]
        self.flush()

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == frames.DATA:
            if number in self._streams:
                self._messages(self._streams[number], payload)
        elif kind == frames.WINDOW_UPDATE:
            more = int.from_bytes(payload)
            if not number:
                self._window += more
            elif number in self._windows:
                self._windows[number] += more
        elif kind == frames.HEADERS:
            headers = {str(name): str(value) for name, value in self._decoder.decode(payload)}
            if flags & frames.END_STREAM:
                self._end(number, headers.get("grpc-status", ""), headers.get("grpc-message", ""))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._settings(payload)
        elif kind == frames.PING and not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.RST_STREAM:
            self._end(number, "reset", repr(payload))
        elif kind == frames.GOAWAY:
            self._broken(f"the door said GOAWAY: {payload!r}")

    def _settings(self, payload: bytes) -> None:
        for start in range(0, len(payload), 6):
            key = int.from_bytes(payload[start : start + 2])
            if key == frames.Setting.INITIAL_WINDOW_SIZE:
                value = int.from_bytes(payload[start + 2 : start + 6])
                for number in self._windows:
                    self._windows[number] += value - self._stream_window
                self._stream_window = value
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _messages(self, listener: Listener, payload: bytes) -> None:
        while payload:  # answers are small: several may share a frame, none is cut
            end = 5 + int.from_bytes(payload[1:5])
            assert end <= len(payload), "an answer was cut in two"
            for arm, _, value in read_fields(memoryview(payload)[5:end]):
                assert not isinstance(value, int)
                if arm == CREATED:
                    listener.created()
                elif arm == CLOSE_SIGNAL:
                    listener.close_asked()
                elif arm == ACK:
                    for _, _, up_to in read_fields(value):
                        assert isinstance(up_to, int)
                        listener.acknowledged(to_int64(up_to))
            payload = payload[end:]

    def _end(self, number: int, status: str, message: str) -> None:
        """Also of one that is closed already, which is nothing."""
        listener = self._streams.pop(number, None)
        self._windows.pop(number, None)
        if listener is not None:
            listener.ended(status, message)
