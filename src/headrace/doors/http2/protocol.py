"""One gRPC client on a transport: reads into the door's buffer, writes as fast as it is taken.

Output is made only while the transport has room, so what a slow client does not take stays in its
calls' bounds; and while it has none, nothing is read from that client either.
What must not enter: frames.
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, cast

from headrace.doors.http2.frames import ConnectionFault, ErrorCode
from headrace.doors.http2.grpc import GrpcConnection
from headrace.doors.sockets import look_after

if TYPE_CHECKING:
    from headrace.doors.http2.listener import GrpcListener

__all__ = ["GrpcProtocol"]

OUTPUT_BYTES: Final = 256 * 1024
"""Framed at once."""
WAITING_BYTES_MAX: Final = 256 * 1024
"""Framed, and not taken by the socket; beyond it nothing more is framed, and nothing read."""
LINGER_S: Final = 1.0
"""How long a client may take to read why its connection ends. Closing before it has would make
the system throw the reason away, with whatever the client still sends."""

log = logging.getLogger("headrace.grpc")


class GrpcProtocol(asyncio.BufferedProtocol):
    """Made by the listener for every client; every method runs on the loop's thread."""

    def __init__(self, listener: "GrpcListener") -> None:
        self.active_at = listener.loop.time()
        """When the client was last heard of, or last took something."""
        self._connected_at = self.active_at
        self.is_blocked = False
        self.peer = "?"
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._calls: GrpcConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._flush_is_due = False
        self._is_receiving = False
        self._is_ending = False
        self._was_asked = False
        """Whether it lives."""

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WAITING_BYTES_MAX)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            with contextlib.suppress(OSError):  # gone already
                look_after(connected)
        address = transport.get_extra_info("peername") or ("?", 0)
        self.peer = f"{address[0]}:{address[1]}"
        if not self._listener.enter(self):
            self.abort()
            return
        listener = self._listener
        self._calls = GrpcConnection(
            listener.services,
            listener.limits,
            listener.budget,
            listener.stats,
            self.peer,
            self._wake,
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._listener.scratch

    def buffer_updated(self, nbytes: int) -> None:
        if self._calls is None or self._is_ending:
            return
        loop_time = self._listener.loop.time()
        self.active_at = loop_time
        self._was_asked = False
        self._is_receiving = True
        try:
            self._calls.receive(self._listener.scratch[:nbytes], loop_time)
        finally:
            self._is_receiving = False
        self._flush()
        self._set_timer()

    def eof_received(self) -> bool:
        """A client that has closed its half can not be told anything it waits for."""
        return False

    def pause_writing(self) -> None:
        self.is_blocked = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_blocked = False
        self.active_at = self._listener.loop.time()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._calls is not None:
            self._calls.lost()
        self._listener.leave(self)

    # Own

    def _wake(self) -> None:
        """A call has something to send: once at the end of this turn, for all that it brings."""
        if not self._flush_is_due and not self._is_receiving:
            self._flush_is_due = True
            self._listener.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        calls = self._calls
        transport = self._transport
        if calls is None or transport is None or transport.is_closing():
            return
        while not self.is_blocked and (out := calls.output(OUTPUT_BYTES)):
            transport.write(out)
        if calls.http.fault is not None:
            self._end(calls.http.fault)
        elif calls.is_drained():
            self._close()

    def _end(self, fault: ConnectionFault) -> None:
        if self._is_ending or self._transport is None:
            return
        self._is_ending = True
        if fault.code is not ErrorCode.NO_ERROR:
            self._listener.stats.faults[fault.code.name] += 1
        level = logging.INFO if fault.code is ErrorCode.NO_ERROR else logging.WARNING
        log.log(level, "%s closed: %s", self.peer, fault)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._listener.loop.call_later(LINGER_S, self.abort)

    def _close(self) -> None:
        """What was written still leaves."""
        if self._transport is not None:
            self._is_ending = True
            self._transport.close()
            self._listener.loop.call_later(self._listener.limits.send_s, self.abort)

    def abort(self) -> None:
        """Let go at once."""
        if self._transport is not None:
            self._transport.abort()

    def _set_timer(self) -> None:
        calls = self._calls
        due = calls.next_deadline if calls is not None else None
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._listener.loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._calls is not None:
            self._calls.tick(self._listener.loop.time())
            self._set_timer()

    # Called by the listener

    def sweep(self, now: float) -> None:
        """Let go of a client that does not start, rests, is silent or takes nothing."""
        calls = self._calls
        if calls is None or self._is_ending:
            return
        limits = self._listener.limits
        quiet_s = now - self.active_at
        if self.is_blocked:
            if quiet_s > limits.send_s:
                self._give_up(f"it took nothing for {quiet_s:.0f} s")
        elif not calls.http.is_greeted:
            if now - self._connected_at > limits.handshake_s:  # however it trickles in
                self._give_up("it did not begin to speak HTTP/2")
        elif calls.is_idle():
            if quiet_s > limits.idle_s:
                calls.http.fail(ConnectionFault(ErrorCode.NO_ERROR, "idle"))
                self._flush()
        elif quiet_s > limits.ping_after_s + limits.ping_answer_s and self._was_asked:
            self._give_up(f"it was silent for {quiet_s:.0f} s")
        elif quiet_s > limits.ping_after_s and not self._was_asked:
            self._was_asked = True
            calls.http.ping()
            self._flush()

    def _give_up(self, why: str) -> None:
        log.warning("%s closed: %s", self.peer, why)
        self.abort()

    def drain(self) -> None:
        """Take no more calls; the connection closes after the last."""
        if self._calls is not None:
            self._calls.drain()
            self._flush()

    def end_calls(self, why: str) -> None:
        if self._calls is not None:
            self._calls.stop(why)
            self._flush()
