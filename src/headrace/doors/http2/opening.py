"""Frames that carry headers: requests, which open streams, and trailers (RFC 9113 section 8.1).

What must not enter: content, control frames.
"""

from typing import TYPE_CHECKING

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ConnectionFault, ErrorCode, StreamFault
from headrace.doors.http2.headers import HeaderReader, Headers, check_request, check_trailers
from headrace.doors.http2.limits import GrpcLimits
from headrace.doors.http2.stream import Stream

if TYPE_CHECKING:
    from headrace.doors.http2.connection import Http2Connection

__all__ = ["HeaderFrames"]


class HeaderFrames:
    """What one connection does on each of them."""

    __slots__ = ("_connection", "_limits", "_reader", "last_stream_id")

    def __init__(self, connection: "Http2Connection", limits: GrpcLimits) -> None:
        self.last_stream_id = 0
        """The highest that was opened; those below are closed if they are not among the live."""
        self._connection = connection
        self._limits = limits
        self._reader = HeaderReader(limits)

    def is_incomplete(self) -> bool:
        """A block has begun, and only its CONTINUATION may come (section 6.10)."""
        return self._reader.stream_id != 0

    def take(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        """A HEADERS or CONTINUATION frame. Raises ConnectionFault."""
        reader = self._reader
        if kind == frames.CONTINUATION:
            headers = reader.go_on(flags, stream_id, payload)
        else:
            if stream_id % 2 == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS of stream {stream_id}")
            headers = reader.begin(flags, stream_id, payload)
        if headers is not None:
            self._complete(stream_id, headers, ends=bool(reader.flags & frames.END_STREAM))

    def _complete(self, stream_id: int, headers: Headers, *, ends: bool) -> None:
        connection = self._connection
        stream = connection.streams.get(stream_id)
        if stream is not None:
            self._trailers(stream, headers, ends=ends)
        elif stream_id <= self.last_stream_id:
            connection.count_empty_frame()  # trailers that crossed our RST_STREAM
        else:
            self.last_stream_id = stream_id
            refusal = self._refusal(headers)
            if refusal is None:
                connection.open(stream_id, headers, ends=ends)
            else:
                connection.sender.control(frames.rst_stream(stream_id, refusal))
                connection.count_reset()

    def _refusal(self, headers: Headers) -> ErrorCode | None:
        """Why no stream is opened."""
        connection = self._connection
        if connection.is_refusing or len(connection.streams) >= self._limits.streams_max:
            return ErrorCode.REFUSED_STREAM  # section 5.1.2: not processed, may be retried
        try:
            check_request(headers)
        except StreamFault as fault:
            return fault.code
        return None

    def _trailers(self, stream: Stream, headers: Headers, *, ends: bool) -> None:
        """A request's trailers mean nothing in gRPC, but its end does."""
        try:
            if stream.is_remote_closed:
                raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM")
            if not ends:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "HEADERS in mid-stream")
            check_trailers(headers)
        except StreamFault as fault:
            self._connection.stream_fault(stream, fault)
        else:
            self._connection.remote_closed(stream)
