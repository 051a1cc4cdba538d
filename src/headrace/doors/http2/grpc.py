"""gRPC on one HTTP/2 connection (grpc.github.io, "gRPC over HTTP2"): streams become calls.

Sans-IO like what it stands on. Response headers of streaming calls leave as soon as the call is
accepted. Messages are not compressed, in either direction. What must not enter: services.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

from headrace.broker.grpc_stats import GrpcStats
from headrace.doors.http2.call import Call, Metadata
from headrace.doors.http2.connection import Http2Connection
from headrace.doors.http2.events import Arrived, Cancelled, Opened
from headrace.doors.http2.frames import ConnectionFault, ErrorCode
from headrace.doors.http2.headers import Headers
from headrace.doors.http2.limits import GrpcLimits, MemoryBudget
from headrace.doors.http2.messages import Messages, cut
from headrace.doors.http2.services import Services
from headrace.doors.http2.status import GrpcError, Status, encode_message, read_timeout
from headrace.doors.http2.stream import Stream

__all__ = ["GrpcConnection"]

log = logging.getLogger("headrace.grpc")

_RESPONSE: Final = (
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity"),
)
_CONTENT_TYPE: Final = b"application/grpc"


class GrpcConnection:
    """The calls of one client. `wake` is called when there is output and nothing was received."""

    def __init__(
        self,
        services: Services,
        limits: GrpcLimits,
        budget: MemoryBudget,
        stats: GrpcStats,
        peer: str,
        wake: Callable[[], None],
    ) -> None:
        self.http = Http2Connection(limits, budget)
        self.limits = limits
        self.peer = peer
        self.next_deadline: float | None = None
        """When `tick` is due; it may find nothing to do."""
        self._services = services
        self._budget = budget
        self._stats = stats
        self._calls: dict[Stream, Call] = {}
        self._full: set[Call] = set()
        """Those that wait for room."""
        self._wake = wake

    # What the transport's side calls

    def receive(self, read: memoryview, now: float) -> None:
        """Take up a read, whose memory is free again on return."""
        for event in self.http.receive(read, now):
            if isinstance(event, Arrived):
                call = self._calls.get(event.stream)
                if call is not None:
                    self._deliver(call)
            elif isinstance(event, Opened):
                self._open(event, now)
            elif isinstance(event, Cancelled):
                self._cancelled(event)
        self._stats.bytes_waiting = self._budget.held_bytes

    def output(self, size_bytes_max: int) -> bytearray:
        """Bytes to send now, about `size_bytes_max`; empty when there is nothing that may leave."""
        out = self.http.output(size_bytes_max)
        if out and self._full:
            for call in [call for call in self._full if call.has_room]:
                self._full.discard(call)
                with self.guard(call):
                    call.handler.on_room()
        return out

    def tick(self, now: float) -> None:
        """End the calls whose deadline has passed."""
        if self.next_deadline is None or now < self.next_deadline:
            return
        calls = [call for call in self._calls.values() if call.deadline is not None]
        for call in calls:
            if call.deadline is not None and call.deadline <= now:
                self._end(call, Status.DEADLINE_EXCEEDED, "the deadline has passed")
        self.next_deadline = min(
            (call.deadline for call in calls if call.is_open and call.deadline is not None),
            default=None,
        )

    def drain(self) -> None:
        """Accept no more calls, and let handlers bring theirs to an end."""
        if not self.http.is_greeted:
            self.http.fail(ConnectionFault(ErrorCode.NO_ERROR, "draining"))
        self.http.drain()
        for call in list(self._calls.values()):
            with self.guard(call):
                call.handler.on_drain()

    def is_drained(self) -> bool:
        return self.http.is_refusing and not self.http.streams

    def is_idle(self) -> bool:
        return not self.http.streams

    def stop(self, why: str) -> None:
        """The end of `drain`: no more calls, and those still open are UNAVAILABLE."""
        self.http.refuse_more()
        for call in list(self._calls.values()):
            self._end(call, Status.UNAVAILABLE, why)

    def lost(self) -> None:
        """The transport is gone."""
        self.http.abandon()
        for call in list(self._calls.values()):
            self._drop(call, "the connection is gone")

    # What calls call

    def respond(self, call: Call, metadata: Metadata = ()) -> None:
        if call.is_open and not call.has_responded:
            call.has_responded = True
            self.http.respond(call.stream, [*_RESPONSE, *_encoded(metadata)])
            self._wake()

    def send(self, call: Call, content: bytes) -> None:
        self.respond(call)
        self.http.send(call.stream, content)
        if self.http.is_overfull(call.stream):
            self._give_up(call)
        elif not call.has_room:
            self._full.add(call)
        self._wake()

    def finish(self, call: Call, status: Status, message: str, metadata: Metadata) -> None:
        if not call.is_open:
            return
        self._forget(call, status)
        trailers = [(b"grpc-status", b"%d" % status)]
        if message:
            trailers.append((b"grpc-message", encode_message(message)))
        trailers += _encoded(metadata)
        if call.has_responded:
            self.http.finish(call.stream, trailers)
        else:
            self.http.respond(call.stream, [*_RESPONSE, *trailers], ends=True)
        self._wake()

    def resume(self, call: Call) -> None:
        if call.is_open:
            self._deliver(call)
            self._wake()

    # Own

    def _open(self, opened: Opened, now: float) -> None:
        stream = opened.stream
        headers = dict(opened.headers)
        if stream.is_closed or not self._is_grpc(stream, headers):
            return
        call = Call(self, stream, headers[b":path"].decode("utf-8", "replace"), opened.headers)
        self._calls[stream] = call
        self._stats.calls += 1
        with self.guard(call):
            if opened.is_oversized:
                limit = self.limits.header_list_bytes_max
                raise GrpcError(
                    Status.RESOURCE_EXHAUSTED, f"more than {limit} bytes of request headers"
                )
            method = self._services.find(call.path)
            call.is_known = True
            self._check_encoding(headers)
            self._set_deadline(call, headers, now)
            call.handler = method.start(call)
            if method.answers_at_once:
                call.respond()

    def _is_grpc(self, stream: Stream, headers: dict[bytes, bytes]) -> bool:
        """Whether it is a call; what is not gets an answer of HTTP."""
        kind = headers.get(b"content-type", b"")
        rest = kind[len(_CONTENT_TYPE) :]
        if headers[b":method"] != b"POST":
            self.http.respond(stream, [(b":status", b"405"), (b"allow", b"POST")], ends=True)
        elif not kind.startswith(_CONTENT_TYPE) or rest[:1] not in (b"", b"+", b";"):
            self.http.respond(stream, [(b":status", b"415")], ends=True)
        else:
            return True
        return False

    @staticmethod
    def _check_encoding(headers: dict[bytes, bytes]) -> None:
        encoding = headers.get(b"grpc-encoding", b"identity")
        if encoding != b"identity":
            name = encoding[:40].decode("ascii", "replace")
            raise GrpcError(Status.UNIMPLEMENTED, f"messages compressed with {name} are not taken")

    def _set_deadline(self, call: Call, headers: dict[bytes, bytes], now: float) -> None:
        timeout = headers.get(b"grpc-timeout")
        if timeout is None:
            return
        try:
            call.deadline = now + read_timeout(timeout.decode("ascii", "replace"))
        except ValueError as error:
            raise GrpcError(Status.INTERNAL, str(error)) from None
        if self.next_deadline is None or call.deadline < self.next_deadline:
            self.next_deadline = call.deadline

    def _deliver(self, call: Call) -> None:
        """Hand over whole messages, then the end of them; then widen the window."""
        stream = call.stream
        if not call.is_paused and len(stream.received) >= call.needed_bytes:
            with self.guard(call):
                self._hand_over(call)
        if call.is_open and not call.is_paused and stream.is_remote_closed and not call.is_end_told:
            call.is_end_told = True
            with self.guard(call):
                if stream.received:
                    raise GrpcError(Status.INTERNAL, "the request ends within a message")
                call.handler.on_end()
        is_within = self.http.settle(stream, call.needed_bytes, is_paused=call.is_paused)
        if not is_within and call.is_open:
            self._end(call, Status.RESOURCE_EXHAUSTED, "unfinished messages fill the server")

    def _hand_over(self, call: Call) -> None:
        stream = call.stream
        content = stream.received
        ends, call.needed_bytes, fault = cut(content, self.limits.message_bytes_max)
        if ends:
            whole = ends[-1]
            stream.received = content[whole:]
            self._stats.messages_received += len(ends)
            self._stats.bytes_received += whole
            call.handler.on_messages(Messages(memoryview(content)[:whole], ends))
        if fault is not None:
            raise fault

    def _cancelled(self, cancelled: Cancelled) -> None:
        call = self._calls.get(cancelled.stream)
        if call is not None:
            if cancelled.code not in (ErrorCode.CANCEL, ErrorCode.NO_ERROR):
                log.info("%s %s: %s", self.peer, call.path[:200], cancelled.why)
            self._drop(call, cancelled.why)

    def _give_up(self, call: Call) -> None:
        """A client that takes nothing is not waited for, so its stream is reset."""
        log.warning("%s %s: answers are not taken", self.peer, call.path[:200])
        self.http.reset(call.stream, ErrorCode.ENHANCE_YOUR_CALM)
        self._drop(call, "answers are not taken")

    def _end(self, call: Call, status: Status, why: str) -> None:
        """End a call from this side, telling both of its ends."""
        if call.is_open:
            self.finish(call, status, why, ())
            self._tell_cancel(call, why)

    def _drop(self, call: Call, why: str) -> None:
        """The call is over for the client already."""
        self._forget(call, Status.CANCELLED)
        self._tell_cancel(call, why)

    def _forget(self, call: Call, status: Status) -> None:
        call.is_open = False
        self._stats.calls -= 1
        self._stats.calls_ended[call.path if call.is_known else "", status.name] += 1
        self._calls.pop(call.stream, None)
        self._full.discard(call)

    @staticmethod
    def _tell_cancel(call: Call, why: str) -> None:
        try:
            call.handler.on_cancel(why)
        except Exception:
            log.exception("%s: cancelling failed", call.path)

    @contextlib.contextmanager
    def guard(self, call: Call) -> Iterator[None]:
        """What a handler raises ends its call and nothing else."""
        try:
            yield
        except GrpcError as error:
            self._end(call, error.status, error.message)
        except Exception:
            log.exception("%s from %s failed", call.path[:200], self.peer)
            self._end(call, Status.INTERNAL, "internal error")


def _encoded(metadata: Metadata) -> Headers:
    return [(name.encode(), value.encode()) for name, value in metadata]
