"""One HTTP client: requests one after the other, each bounded in size and in time.

What must not enter: what a path answers (`routes`), how a head is read (`head`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Container
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from headrace.doors.http.head import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    Answer,
    BadRequest,
    Request,
    encode,
    read_request,
)
from headrace.doors.sockets import look_after

if TYPE_CHECKING:
    from headrace.doors.http.listener import HttpListener

__all__ = ["HttpConnection", "Respond"]

log = logging.getLogger("headrace.http")

REQUEST_BYTES_MAX: Final = HEAD_BYTES_MAX + BODY_BYTES_MAX

Respond = Callable[[Request], Awaitable[Answer]]


class HttpConnection(asyncio.Protocol):
    """Made by the listener for every client; ends by its own timers at the latest."""

    def __init__(
        self, listener: "HttpListener", respond: Respond, bodies: Container[str] = ()
    ) -> None:
        self._listener = listener
        self._respond = respond
        self._bodies = bodies
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_blocked = False
        """The client does not take what was written."""

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            with contextlib.suppress(OSError):  # gone already
                look_after(connected)
        self._transport.set_write_buffer_limits(high=0)  # paused until the client took every byte
        if not self._listener.enter(self):
            self._end(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
            return
        self._limit(self._listener.limits.head_s, self._on_late_head)

    def data_received(self, data: bytes) -> None:
        if not self._received and self._answering is None:
            self._limit(self._listener.limits.head_s, self._on_late_head)
        self._received += data
        if len(self._received) > REQUEST_BYTES_MAX and self._transport is not None:
            self._transport.pause_reading()
        self._next()

    def eof_received(self) -> bool:
        """A client that has said all it wants still gets the answer under way."""
        return self._answering is not None or self._is_blocked

    def pause_writing(self) -> None:
        self._is_blocked = True
        self._limit(self._listener.limits.send_s, self.abort)

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._wait_for_next()
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._stop_timer()
        if self._answering is not None:
            self._answering.cancel()
        self._listener.leave(self)

    # Own

    def _next(self) -> None:
        """Take up the next request, if it is all there and the one before is done."""
        transport = self._transport
        if transport is None or self._answering is not None or self._is_blocked:
            return
        if transport.is_closing():
            return
        try:
            found = read_request(self._received, self._bodies)
        except BadRequest as refused:
            self._end(refused.status, refused.why)
            return
        if found is None:
            return
        request, size = found
        del self._received[:size]
        if len(self._received) <= REQUEST_BYTES_MAX:
            transport.resume_reading()
        self._stop_timer()
        self._answering = asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._respond(request)
        except Exception:
            log.exception("answering %s failed", request.path)
            answer = Answer(b"internal error\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)
        self._answering = None
        transport = self._transport
        if transport is None:
            return
        keep_alive = request.keep_alive and not self._listener.is_closing
        transport.write(encode(answer, keep_alive=keep_alive, is_head=request.is_head))
        if not keep_alive:
            transport.close()
        elif not self._is_blocked:
            self._wait_for_next()
            self._next()

    def _wait_for_next(self) -> None:
        limits = self._listener.limits
        if self._received:
            self._limit(limits.head_s, self._on_late_head)
        else:
            self._limit(limits.idle_s, self.close)

    def _on_late_head(self) -> None:
        self._end(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")

    def _end(self, status: HTTPStatus, why: str) -> None:
        """Say why, and close."""
        if self._transport is not None:
            answer = Answer(f"{why}\n".encode(), status=status)
            self._transport.write(encode(answer, keep_alive=False))
            self._transport.close()
            if not self._is_blocked:
                self._limit(self._listener.limits.send_s, self.abort)

    def is_answering(self) -> bool:
        return self._answering is not None

    def close(self) -> None:
        """What was written still leaves."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Let go at once."""
        if self._transport is not None:
            self._transport.abort()

    def _limit(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
