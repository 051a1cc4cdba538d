"""One client's connection: bytes in, requests handled in order, answers out in order.

As Apache Kafka does, a connection handles one request at a time, with two exceptions that pay for
it. Produce requests that are pipelined are appended as they come and only their answers wait. And
a member's commits, heartbeats and farewell take effect while its JoinGroup waits for other
members, though their answers follow that one's: after it, a commit would be of a generation that
is over, and what it says was read would be read again.
While another request is being answered, what arrives stays in the inbox up to its bound and the
socket is read no further.

A peer that does not read is not read from: its answers fill the outbox to its bound. One that
stalls in the middle of a request, or takes no answer for long, is closed by the listener's sweep.
What must not enter: the meaning of a request.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from headrace.doors.kafka import k00_produce, k01_fetch
from headrace.doors.kafka.answer_errors import errors_in
from headrace.doors.kafka.api import Api, RequestContext, WithRecords
from headrace.doors.kafka.dispatch import (
    decode_request,
    encode_response,
    encode_with_records,
    find_api,
)
from headrace.doors.kafka.inbox import BuffersExhausted, Inbox
from headrace.doors.kafka.outbox import Outbox, Part, Slot
from headrace.doors.kafka.slices import is_same_machine, send_file
from headrace.wire.apis import ApiKey
from headrace.wire.errors import MalformedError
from headrace.wire.header import RequestHead, read_request_head

if TYPE_CHECKING:
    from headrace.doors.kafka.listener import Listener

__all__ = ["Connection"]

WAITING: Final = frozenset({ApiKey.FETCH, ApiKey.SHARE_FETCH, ApiKey.SYNC_GROUP})
"""Requests that wait for somebody else, and others for them; a stopping broker does not. What
follows a SyncGroup is of the generation that it completes, so there waiting is right."""
PASSING: Final = frozenset({ApiKey.OFFSET_COMMIT, ApiKey.HEARTBEAT, ApiKey.LEAVE_GROUP})
"""Requests that do not wait for a JoinGroup, which has its effect at once and its answer when
other members have come."""
PASSING_MAX: Final = 32
"""Of them while one waits: their answers stay in memory until it is answered."""

log = logging.getLogger("headrace.kafka")


class Connection:
    """Owned by its listener; every method runs on the event loop."""

    __slots__ = (
        "_answered_at_once",
        "_answering",
        "_answering_key",
        "_arrived_s",
        "_fetches",
        "_inbox",
        "_is_draining",
        "_is_serving",
        "_listener",
        "_loop",
        "_outbox",
        "_parked",
        "_reads",
        "_request_since",
        "_socket",
        "_stats",
        "_writes",
        "active_at",
        "id",
        "is_closed",
        "peer",
    )

    def __init__(self, listener: "Listener", connected: socket.socket, peer: str, id_: int) -> None:
        self.id = id_
        self.peer = peer
        self.is_closed = False
        self.active_at = listener.now()
        self._listener = listener
        self._loop = listener.loop
        self._socket = connected
        self._inbox = Inbox(listener.pool, listener.limits.frame_bytes_max)
        near = is_same_machine(connected, self.peer_host)
        self._fetches = k01_fetch.Fetches(listener.broker, listener.fetch_room)
        self._outbox = Outbox(connected, listener.copy_slice if near else send_file)
        self._answering: asyncio.Task[None] | None = None
        """The request that the following ones wait for."""
        self._answering_key = -1
        self._parked: asyncio.Task[None] | None = None
        """A JoinGroup, which those in PASSING pass."""
        self._stats = listener.broker.stats
        self._answered_at_once = 0
        """Produce requests answered while requests are being handled."""
        self._arrived_s = 0.0
        """When the requests being handled were taken up."""
        self._request_since = self.active_at
        """Not later than the first byte of the request that has arrived in part."""
        self._is_draining = False
        self._is_serving = False
        self._writes = False
        self._reads = True
        self._loop.add_reader(connected.fileno(), self._on_readable)

    # Receiving

    def _on_readable(self) -> None:
        space = self._inbox.space()
        if not space:
            self._stop_reading()
            return
        try:
            size = self._socket.recv_into(space)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(f"{error}", quietly=isinstance(error, ConnectionError))
            return
        if size == 0:
            self.close("the client closed it", quietly=True)
            return
        is_first = not self._inbox.waiting_bytes()
        self._inbox.received(size)
        now = self._listener.now()
        if is_first:
            self._request_since = now
        if not self._writes:  # sending more is no excuse for not taking answers
            self.active_at = now
        self._serve()

    def _serve(self) -> None:
        """Handle what has arrived, as far as order and bounds allow."""
        if self._is_draining:
            self._close_if_drained()
            return
        self._is_serving = True
        self._arrived_s = time.perf_counter()
        inbox = self._inbox
        outbox = self._outbox
        handled = False
        try:
            while self._may_handle_next() and outbox.has_room():
                frame = inbox.next_frame()
                if frame is None:
                    break
                handled = True
                self._handle(frame)
                if self.is_closed:
                    return
            inbox.settle()
            if handled and inbox.waiting_bytes():
                self._request_since = self._listener.now()
        except MalformedError as error:
            self._stats.malformed_requests += 1
            self._refuse(f"malformed request: {error}")
            return
        except (BuffersExhausted, k00_produce.RefusedWithoutAnswer) as error:
            self._refuse(str(error))
            return
        except Exception:
            log.exception("request from %s failed; its connection is closed", self.peer)
            self.close("internal error", quietly=True)
            return
        finally:
            self._is_serving = False
            if self._answered_at_once:
                took_s = time.perf_counter() - self._arrived_s
                self._stats.answered(ApiKey.PRODUCE, took_s, self._answered_at_once)
                self._answered_at_once = 0
        was_full = not self._outbox.has_room()
        if self._outbox.is_ready() and self._listener.crowd.answers_wait(self.id):
            self._listener.flush_soon(self)
        else:
            self.flush()
        if self.is_closed:
            return
        if inbox.space():
            self._resume_reading()
        if was_full and not self._writes and self._outbox.has_room():
            # Requests wait that no event would call for: others first, then the rest of these.
            self._listener.flush_soon(self)

    def _may_handle_next(self) -> bool:
        if self._answering is not None:
            return False
        return self._parked is None or (
            self._inbox.next_api_key() in PASSING and self._outbox.outstanding() <= PASSING_MAX
        )

    def _refuse(self, why: str) -> None:
        """Close, but not before the answers that are ready."""
        self.flush()
        self.close(why)

    def _handle(self, frame: memoryview) -> None:
        head = read_request_head(frame)
        if head.api_key == ApiKey.PRODUCE:
            self._require_version(head, (k00_produce.FIRST_VERSION, k00_produce.VERSIONS[1]))
            k00_produce.serve(self._listener.broker, frame, head, self._reserve)
            return
        if head.api_key == ApiKey.FETCH:
            self._require_version(head, k01_fetch.VERSIONS)
            request = self._fetches.read(frame, head)
            self._begin(head, self._fetch(request, head, self._outbox.reserve()))
            return
        api = find_api(head)
        message = decode_request(api, head, frame)
        self._begin(head, self._call(api, message, head, self._outbox.reserve()))

    @staticmethod
    def _require_version(head: RequestHead, versions: tuple[int, int]) -> None:
        if not versions[0] <= head.api_version <= versions[1]:
            raise MalformedError(
                f"{ApiKey(head.api_key).name} version {head.api_version} is not served"
            )

    # Answering

    def _reserve(self) -> Any:
        slot = self._outbox.reserve()
        arrived_s = self._arrived_s

        def answer(frame: bytes) -> None:
            if self._is_serving:
                self._answered_at_once += 1  # all of this turn are counted together
            else:
                self._stats.answered(ApiKey.PRODUCE, time.perf_counter() - arrived_s)
            self._fill(slot, [frame])
            if not self._is_serving:
                self._listener.flush_soon(self)

        return answer

    def _begin(self, head: RequestHead, answering: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(answering)
        task.add_done_callback(self._answered)
        if head.api_key == ApiKey.JOIN_GROUP:
            self._parked = task
        else:
            self._answering_key = head.api_key
            self._answering = task

    async def _fetch(self, request: Any, head: RequestHead, slot: Slot) -> None:
        arrived_s = self._arrived_s
        parts = await self._fetches.serve(request, head)
        self._stats.answered(ApiKey.FETCH, time.perf_counter() - arrived_s)
        self._fill(slot, parts)
        self.flush()

    async def _call(self, api: Api, request: Any, head: RequestHead, slot: Slot) -> None:
        arrived_s = self._arrived_s
        context = RequestContext(
            self._listener.broker, head.api_version, head.client_id, self.peer_host, self.id
        )
        response = await api.handle(context, request)
        if isinstance(response, WithRecords):
            parts: list[Part] = encode_with_records(head, response)
            response = response.message
        else:
            parts = [encode_response(api, head, response)]
        self._stats.answered(api.key, time.perf_counter() - arrived_s)
        for code in errors_in(response):
            self._stats.errors[api.key, code] += 1
        self._fill(slot, parts)
        self.flush()

    def _answered(self, task: "asyncio.Task[None]") -> None:
        if task is self._parked:
            self._parked = None
        else:
            self._answering = None
        self.active_at = self._listener.now()
        if task.cancelled():
            self.close("its request was given up", quietly=True)
            return
        error = task.exception()
        if isinstance(error, MalformedError):
            self._stats.malformed_requests += 1
            self.close(f"malformed request: {error}")
        elif error is not None:
            log.error("request from %s failed", self.peer, exc_info=error)
            self.close("internal error", quietly=True)
        elif not self.is_closed:
            self._serve()

    def _fill(self, slot: Slot, parts: list[Part]) -> None:
        if self.is_closed:
            Outbox.let_go(parts)
            return
        slot.parts = parts

    def flush(self) -> None:
        """Send what is ready, and go on when the socket takes more."""
        if self.is_closed or self._writes:
            return
        try:
            sent_all = self._outbox.flush()
        except OSError as error:
            self.close(f"{error}", quietly=isinstance(error, ConnectionError))
            return
        if not sent_all:
            self._writes = True
            self.active_at = self._listener.now()
            self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def go_on(self) -> None:
        """Handle what had to wait until answers left."""
        if self.is_closed or self._writes:
            return
        if self._is_draining:
            self._close_if_drained()
        elif self._may_handle_next() and (not self._reads or self._inbox.waiting_bytes()):
            self._serve()

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._writes = False
        self.flush()
        self.go_on()

    # Life

    def _stop_reading(self) -> None:
        if self._reads:
            self._reads = False
            self._loop.remove_reader(self._socket.fileno())

    def _resume_reading(self) -> None:
        if not self._reads:
            self._reads = True
            self._loop.add_reader(self._socket.fileno(), self._on_readable)

    @property
    def peer_host(self) -> str:
        return self.peer.rpartition(":")[0]

    def is_at_rest(self) -> bool:
        """Nothing received in part, nothing to answer."""
        return (
            self._answering is None and self._outbox.is_empty() and not self._inbox.waiting_bytes()
        )

    def is_waiting_for_peer(self) -> bool:
        """A request arrived in part, or an answer was taken in part, and nothing is owed."""
        return self._writes or (
            self._answering is None
            and self._outbox.is_empty()
            and bool(self._inbox.waiting_bytes())
        )

    def is_too_slow(self, now: float) -> bool:
        """Whether a request in part has taken longer than what there is of it may. A client that
        sends a byte now and then would else keep its place, and its buffer, for ever."""
        limits = self._listener.limits
        waiting_bytes = self._inbox.waiting_bytes()
        allowed_s = limits.stall_s + waiting_bytes / limits.receive_bytes_per_s_min
        return waiting_bytes > 0 and now - self._request_since > allowed_s

    def close_if_broken(self) -> bool:
        """Whether the peer has reset the connection. The loop tells of that, but uvloop does not
        when bytes and the reset are seen at once (its poll handle stops at the error)."""
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.close(os.strerror(error), quietly=True)
        return bool(error)

    def rest(self) -> None:
        """Give back what an idle connection does not need."""
        self._inbox.rest()
        self._fetches.forget()

    def drain(self) -> None:
        """Take no more requests; close once what was appended has been answered."""
        self._is_draining = True
        self._stop_reading()
        waits = self._answering is not None and self._answering_key in WAITING
        if waits or self._parked is not None:
            self.close("the broker stops", quietly=True)
        else:
            self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._answering is None and self._outbox.is_empty():
            self.close("the broker stops", quietly=True)

    def close(self, why: str, *, quietly: bool = False) -> None:
        """Let go of everything. Idempotent; a request being answered is cancelled."""
        if self.is_closed:
            return
        self.is_closed = True
        log.log(logging.DEBUG if quietly else logging.WARNING, "%s closed: %s", self.peer, why)
        fileno = self._socket.fileno()
        self._loop.remove_reader(fileno)
        self._loop.remove_writer(fileno)
        for task in (self._answering, self._parked):
            if task is not None:
                task.cancel()
        self._outbox.close()
        self._inbox.close()
        self._fetches.forget()
        self._socket.close()
        self._listener.forget(self)
