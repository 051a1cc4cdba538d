"""One HTTP/2 connection, as a server keeps it: bytes in, events and bytes out (RFC 9113).

    receive(read, now) -> events     output(size) -> bytes     respond, send, finish, reset, settle

Faults of the peer come in two kinds (section 5.4): those of a stream reset that stream, those of
the connection end it with GOAWAY; either is an event, nothing is raised to the caller. Priorities
(section 5.3) are read over. Everything a peer can do often is counted (`limits`).

Receive windows: the connection's is given back on receipt. A stream's is given back by `settle`,
so that what its owner has not taken and what the client may still send are together never more
than a window, or one message. What must not enter: gRPC, sockets, clocks.
"""

from headrace.doors.http2 import frames
from headrace.doors.http2.control import DRAIN_PING, ControlFrames
from headrace.doors.http2.events import Arrived, Cancelled, Event, Opened
from headrace.doors.http2.frames import (
    STREAM_ID_MAX,
    WINDOW_BYTES_INITIAL,
    ConnectionFault,
    ErrorCode,
    Setting,
    StreamFault,
)
from headrace.doors.http2.headers import Headers, list_bytes
from headrace.doors.http2.limits import Allowance, GrpcLimits, MemoryBudget
from headrace.doors.http2.opening import HeaderFrames
from headrace.doors.http2.sending import Sender
from headrace.doors.http2.stream import Stream
from headrace.doors.http2.walker import FrameWalker

__all__ = ["Http2Connection"]


class Http2Connection:
    """Sans-IO. `now` is in seconds of any clock that does not go back."""

    def __init__(self, limits: GrpcLimits, budget: MemoryBudget) -> None:
        self.streams: dict[int, Stream] = {}
        self.fault: ConnectionFault | None = None
        """Why the connection ends; nothing more is received."""
        self.sender = Sender(self._on_sent, budget)
        self.now = 0.0
        """Of the read that is being taken up."""
        self.is_refusing = False
        """The last GOAWAY is sent: no more streams."""
        self.is_greeted = False
        """The client's SETTINGS have come."""
        self._limits = limits
        self._budget = budget
        self._walker = FrameWalker(self, limits.frame_bytes_max, limits.header_block_bytes_max)
        self._headers = HeaderFrames(self, limits)
        self._control = ControlFrames(self, limits)
        self._resets = Allowance(limits.resets)
        self._empty_frames = Allowance(limits.empty_frames)
        self._receive_window = WINDOW_BYTES_INITIAL
        self._has_greeted = False
        self._events: list[Event] = []
        self._arrived: dict[Stream, None] = {}

    # What its owner calls

    def receive(self, read: memoryview, now: float) -> list[Event]:
        """Take up a read, whose memory is free again on return."""
        if self.fault is None:
            self.now = now
            try:
                self._walker.walk(read)
                if self._walker.has_preface:
                    self._greet()
                    self._return_window()
            except ConnectionFault as fault:
                self.fail(fault)
        events, self._events = self._events, []
        events += [Arrived(stream) for stream in self._arrived if not stream.is_closed]
        self._arrived.clear()
        return events

    def output(self, size_bytes_max: int) -> bytearray:
        """Bytes to send now, about `size_bytes_max`; empty when there is nothing that may leave."""
        return self.sender.output(size_bytes_max)

    def respond(self, stream: Stream, headers: Headers, *, ends: bool = False) -> None:
        """Send response headers, which are all of the answer if it `ends` with them."""
        if ends:
            stream.is_unwanted = True
        if not stream.is_closed:
            self.sender.respond(stream, headers, ends=ends)

    def send(self, stream: Stream, content: bytes) -> None:
        """Send what follows the headers; see `is_overfull`."""
        if not stream.is_closed:
            self.sender.send(stream, content)

    def is_overfull(self, stream: Stream) -> bool:
        """Whether more waits to be sent, of this stream or of all, than may."""
        return len(stream.unsent) > self._limits.unsent_bytes_max or self._budget.sends_too_much()

    def finish(self, stream: Stream, trailers: Headers) -> None:
        """End the answer, after what waits to be sent."""
        stream.is_unwanted = True
        stream.received = bytearray()
        if not stream.is_closed:
            self.settle(stream)
            self.sender.finish(stream, trailers)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End the stream at once."""
        if not stream.is_closed:
            self.sender.control(frames.rst_stream(stream.id, code))
            self._close(stream)

    def settle(self, stream: Stream, needed_bytes: int = 0, *, is_paused: bool = False) -> bool:
        """The owner has taken what it could, and cannot go on without `needed_bytes` in all: widen
        the window by what there is room for, nothing if it `is_paused`. False: the door holds more
        than it may, and this stream made it so."""
        size = len(stream.received)
        grew = size - stream.held_bytes
        self._budget.held_bytes += grew
        stream.held_bytes = size
        if grew > 0 and self._budget.receives_too_much():
            return False
        if is_paused or stream.is_closed or stream.is_remote_closed or stream.is_unwanted:
            return True
        window = self._budget.stream_window_bytes()
        more = max(window, needed_bytes) - size - stream.receive_window
        if more * 2 >= window or (more > 0 and size + stream.receive_window < needed_bytes):
            stream.receive_window += more
            self.sender.control(frames.window_update(stream.id, more))
        return True

    def ping(self) -> None:
        """Ask whether the peer lives; any bytes of its are the answer."""
        self.sender.control(frames.frame(frames.PING, 0, 0, b"alive?  "))

    def drain(self) -> None:
        """Tell the client to open no more streams; those it opened meanwhile are served, until it
        has answered (section 6.8)."""
        if self.fault is None and not self.is_refusing:
            self.sender.control(frames.goaway(STREAM_ID_MAX, ErrorCode.NO_ERROR, "draining"))
            self.sender.control(frames.frame(frames.PING, 0, 0, DRAIN_PING))

    def refuse_more(self) -> None:
        """The end of `drain`."""
        if not self.is_refusing and self.fault is None:
            self.is_refusing = True
            last = self._headers.last_stream_id
            self.sender.control(frames.goaway(last, ErrorCode.NO_ERROR, "draining"))

    def fail(self, fault: ConnectionFault) -> None:
        """End the connection; every stream is cancelled."""
        self.fault = fault
        self._greet()
        self.sender.clear()
        self.sender.control(frames.goaway(self._headers.last_stream_id, fault.code, fault.why))
        for stream in list(self.streams.values()):
            self._cancelled(stream, fault.code, f"the connection ended: {fault.why}")

    # FrameSink

    def on_data(self, stream_id: int, size_bytes: int) -> Stream | None:
        self._expect_frame()
        self._receive_window -= size_bytes
        if self._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more than the connection's window")
        if not size_bytes:
            self.count_empty_frame()
        stream = self.stream(stream_id)
        if stream is None:
            self.count_empty_frame()
            return None
        stream.receive_window -= size_bytes
        if stream.is_remote_closed:
            fault = StreamFault(ErrorCode.STREAM_CLOSED, "DATA after END_STREAM")
        elif stream.receive_window < 0:
            fault = StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more than the stream's window")
        else:
            return stream
        self.stream_fault(stream, fault)
        return None

    def on_content(self, stream: Stream, piece: memoryview) -> None:
        if not stream.is_unwanted:
            stream.received += piece
            self._arrived[stream] = None

    def on_data_end(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            self.remote_closed(stream)

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        if kind != frames.CONTINUATION:
            self._expect_frame(kind)
        if kind in (frames.HEADERS, frames.CONTINUATION):
            self._headers.take(kind, flags, stream_id, payload)
        else:
            self._control.take(kind, flags, stream_id, payload)

    def on_unknown(self) -> None:
        self._expect_frame()
        self.count_empty_frame()

    # Own, and for the control frames

    def _expect_frame(self, kind: int = frames.DATA) -> None:
        """Sections 3.4 and 6.2: SETTINGS come first, and nothing cuts a header block."""
        if not self.is_greeted:
            if kind != frames.SETTINGS:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
            self.is_greeted = True
            self._greet()
        if self._headers.is_incomplete():
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is not complete")

    def _greet(self) -> None:
        """Our preface, before anything else, once the client's has come (section 3.4)."""
        if self._has_greeted:
            return
        self._has_greeted = True
        limits = self._limits
        values = {
            Setting.MAX_CONCURRENT_STREAMS: limits.streams_max,
            Setting.INITIAL_WINDOW_SIZE: limits.stream_window_bytes_min,
            Setting.MAX_FRAME_SIZE: limits.frame_bytes_max,
            Setting.MAX_HEADER_LIST_SIZE: limits.header_list_bytes_max,
        }
        self.sender.control(frames.settings(values))

    def _return_window(self) -> None:
        missing = self._limits.window_bytes - self._receive_window
        if missing * 2 >= self._limits.window_bytes:
            self._receive_window += missing
            self.sender.control(frames.window_update(0, missing))
        if self.sender.control_bytes() > self._limits.control_bytes_max:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "answers are not taken")

    def stream(self, stream_id: int) -> Stream | None:
        """A live stream, None for one that is closed. Raises ConnectionFault for one that was
        never opened (section 5.1, idle)."""
        stream = self.streams.get(stream_id)
        if stream is None and (stream_id > self._headers.last_stream_id or stream_id % 2 == 0):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} is not open")
        return stream

    def count_empty_frame(self) -> None:
        if not self._empty_frames.take(self.now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "frames that bring nothing")

    def count_reset(self) -> None:
        if not self._resets.take(self.now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "streams are reset too often")

    def open(self, stream_id: int, headers: Headers, *, ends: bool) -> None:
        """A well-formed request for which there is room."""
        window = self._limits.stream_window_bytes_min
        stream = self.streams[stream_id] = Stream(stream_id, window, self.sender.stream_window)
        stream.is_remote_closed = ends
        self._budget.streams += 1
        is_oversized = list_bytes(headers) > self._limits.header_list_bytes_max
        self._events.append(Opened(stream, headers, is_oversized))
        self._arrived[stream] = None

    def remote_closed(self, stream: Stream) -> None:
        """Its request is complete."""
        stream.is_remote_closed = True
        self._arrived[stream] = None

    def stream_fault(self, stream: Stream, fault: StreamFault) -> None:
        self.sender.control(frames.rst_stream(stream.id, fault.code))
        self._cancelled(stream, fault.code, fault.why)
        self.count_reset()

    def stream_reset(self, stream: Stream, code: ErrorCode) -> None:
        """The client reset it."""
        self._cancelled(stream, code, "the client reset the stream")
        self.count_reset()

    def _cancelled(self, stream: Stream, code: ErrorCode, why: str) -> None:
        self._close(stream)
        self._events.append(Cancelled(stream, code, why))

    def _on_sent(self, stream: Stream) -> None:
        """The end of its answer leaves."""
        if not stream.is_remote_closed:
            self.sender.control(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
        self._close(stream)

    def _close(self, stream: Stream) -> None:
        if stream.is_closed:
            return
        stream.is_closed = stream.is_unwanted = True
        del self.streams[stream.id]
        self.sender.forget(stream)
        stream.received = bytearray()
        self._budget.streams -= 1
        self._budget.held_bytes -= stream.held_bytes
        stream.held_bytes = 0

    def abandon(self) -> None:
        """The transport is gone: give back what the streams hold."""
        for stream in list(self.streams.values()):
            self._close(stream)
