"""Frames that carry neither headers nor content (RFC 9113 sections 6.3 to 6.9).

What must not enter: streams' content.
"""

import struct
from typing import TYPE_CHECKING, Final

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import (
    FRAME_BYTES_DEFAULT,
    FRAME_BYTES_TOP,
    WINDOW_BYTES_MAX,
    ConnectionFault,
    ErrorCode,
    Setting,
    StreamFault,
)
from headrace.doors.http2.limits import Allowance, GrpcLimits

if TYPE_CHECKING:
    from headrace.doors.http2.connection import Http2Connection

__all__ = ["DRAIN_PING", "ControlFrames"]

DRAIN_PING: Final = b"draining"
"""Whose answer says that the client has read of the drain (section 6.8)."""

_SIZES: Final = {frames.PRIORITY: 5, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}
_OF_THE_CONNECTION: Final = frozenset((frames.SETTINGS, frames.PING, frames.GOAWAY))
_SETTING: Final = struct.Struct(">HI")
_KNOWN: Final = frozenset(Setting)
_TABLE_BYTES_DEFAULT: Final = 4096


class ControlFrames:
    """What one connection does on each of them."""

    __slots__ = ("_connection", "_pings", "_settings")

    def __init__(self, connection: "Http2Connection", limits: GrpcLimits) -> None:
        self._connection = connection
        self._settings = Allowance(limits.settings)
        self._pings = Allowance(limits.pings)

    def take(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        """Raises ConnectionFault."""
        expected = _SIZES.get(kind)
        if expected is not None and len(payload) != expected:
            raise ConnectionFault(
                ErrorCode.FRAME_SIZE_ERROR, f"a frame of type {kind} with {len(payload)} bytes"
            )
        if kind != frames.WINDOW_UPDATE and (stream_id == 0) != (kind in _OF_THE_CONNECTION):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind} on stream {stream_id}"
            )
        if kind == frames.WINDOW_UPDATE:
            self._window_update(stream_id, payload)
        elif kind == frames.SETTINGS:
            self._on_settings(flags, payload)
        elif kind == frames.PING:
            self._ping(flags, payload)
        elif kind == frames.RST_STREAM:
            self._rst_stream(stream_id, payload)
        elif kind == frames.PRIORITY:
            self._connection.count_empty_frame()
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client cannot push")
        # A client's GOAWAY: it opens no more streams; those it has are served (section 6.8).

    def _window_update(self, stream_id: int, payload: memoryview) -> None:
        connection = self._connection
        connection.count_empty_frame()
        size = int.from_bytes(payload) & WINDOW_BYTES_MAX
        if not stream_id:
            if not size:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window wider by nothing")
            if not connection.sender.widen_connection(size):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")
            return
        stream = connection.stream(stream_id)
        if stream is None:
            return
        if not size:
            fault = StreamFault(ErrorCode.PROTOCOL_ERROR, "a window wider by nothing")
            connection.stream_fault(stream, fault)
        elif not connection.sender.widen(stream, size):
            fault = StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")
            connection.stream_fault(stream, fault)

    def _on_settings(self, flags: int, payload: memoryview) -> None:
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS ack with content")
            self._connection.count_empty_frame()
            return
        if len(payload) % _SETTING.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS are cut short")
        if not self._settings.take(self._connection.now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "SETTINGS too often")
        values: dict[Setting, int] = {}
        for key, value in _SETTING.iter_unpack(payload):
            if key in _KNOWN:
                _check_setting(Setting(key), value)
                values[Setting(key)] = value
        self._apply(values)
        self._connection.sender.control(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _apply(self, values: dict[Setting, int]) -> None:
        """The last of each counts: one walk through the streams, however many a frame has."""
        sender = self._connection.sender
        if Setting.HEADER_TABLE_SIZE in values:
            sender.headers.table_size(values[Setting.HEADER_TABLE_SIZE])
        if Setting.MAX_FRAME_SIZE in values:
            sender.frame_bytes_max = values[Setting.MAX_FRAME_SIZE]
        if Setting.INITIAL_WINDOW_SIZE in values:
            wider = values[Setting.INITIAL_WINDOW_SIZE] - sender.stream_window
            sender.stream_window += wider
            for stream in self._connection.streams.values():
                if not sender.widen(stream, wider):
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")

    def _ping(self, flags: int, payload: memoryview) -> None:
        connection = self._connection
        if not self._pings.take(connection.now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "PINGs too often")
        if not flags & frames.ACK:
            connection.sender.control(frames.frame(frames.PING, frames.ACK, 0, bytes(payload)))
        elif bytes(payload) == DRAIN_PING:
            connection.refuse_more()

    def _rst_stream(self, stream_id: int, payload: memoryview) -> None:
        stream = self._connection.stream(stream_id)
        if stream is None:
            self._connection.count_empty_frame()
            return
        code = int.from_bytes(payload)
        known = ErrorCode(code) if code <= max(ErrorCode) else ErrorCode.INTERNAL_ERROR
        self._connection.stream_reset(stream, known)


def _check_setting(setting: Setting, value: int) -> None:
    """Raises ConnectionFault (section 6.5.2)."""
    if setting is Setting.ENABLE_PUSH and value > 1:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH {value}")
    if setting is Setting.INITIAL_WINDOW_SIZE and value > WINDOW_BYTES_MAX:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")
    if setting is Setting.MAX_FRAME_SIZE and not FRAME_BYTES_DEFAULT <= value <= FRAME_BYTES_TOP:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE {value}")
