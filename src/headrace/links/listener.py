"""The answering end of links: other workers connect here, and are answered by one function.

A worker has one link at a time: when it greets again, what came on its former connection and was
not taken up is thrown away with it. So whoever asks anew after a broken link knows that nothing
that was asked on the old one can still begin.

Whoever reaches the socket is of this machine and this user, since its directory is closed to
others; one who does not speak the language is let go, and nobody else notices.
What must not enter: what is asked.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from headrace.links.frames import GRANTED, HELLO, PING, REFUSED, Frame, read_hello, refusal_body
from headrace.links.protocol import LinkProtocol
from headrace.wire.errors import ErrorCode, MalformedError, RequestError

__all__ = ["Answer", "LinkListener", "Serve"]

UNANSWERED_MAX: Final = 4096
"""Requests of one link that are being answered; while there are so many no more is read."""
STRANGERS_MAX: Final = 64
"""Connections that have not greeted; one more is let go."""
GREETING_S_MAX: Final = 5.0
BACKLOG: Final = 128
"""A Unix socket with a full one does not make who connects wait, it refuses."""
ACCEPT_PAUSE_S: Final = 0.5
"""When no descriptor is free."""

log = logging.getLogger("headrace.links")

Answer = Callable[[bytes | RequestError], None]
"""To be called once, at any time, from the loop's thread."""

Serve = Callable[[int, int, memoryview, Answer], None]
"""Told who asks (a worker's index), the kind and the body of a request, in the order of sending.
The body is valid until it returns, and may be written to. May raise RequestError to refuse, and
MalformedError for what is no request: then the link ends."""


class LinkListener:
    def __init__(self, path: str, serve: Serve) -> None:
        self._path = path
        self._serve = serve
        self._listening: socket.socket | None = None
        self._welcoming: set[asyncio.Task[Any]] = set()
        self._strangers: set[_Peer] = set()
        self._peers: dict[int, _Peer] = {}

    async def open(self) -> None:
        """In the place of a worker that left its socket behind. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._listening = socket.socket(socket.AF_UNIX)
        try:
            self._listening.setblocking(False)
            self._listening.bind(self._path)
            self._listening.listen(BACKLOG)
        except OSError:
            self._listening.close()
            raise
        self._accept_on()

    async def close(self) -> None:
        """Requests that are being answered are not answered any more. Idempotent."""
        listening, self._listening = self._listening, None
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening.fileno())
            listening.close()
        for peer in (*self._strangers, *self._peers.values()):
            peer.protocol.abort("the worker stops")
        if self._welcoming:
            await asyncio.wait(self._welcoming)

    def _accept_on(self) -> None:
        if self._listening is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self._listening.fileno(), self._accept, self._listening)

    def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            connected, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.error("other workers cannot be welcomed, trying on: %s", error)
            loop.remove_reader(listening.fileno())
            loop.call_later(ACCEPT_PAUSE_S, self._accept_on)
            return
        connected.setblocking(False)
        task = loop.create_task(loop.connect_accepted_socket(self._connected, connected))
        self._welcoming.add(task)
        task.add_done_callback(self._welcomed)

    def _welcomed(self, task: "asyncio.Task[Any]") -> None:
        self._welcoming.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("another worker was not welcomed: %s", error)

    def _connected(self) -> LinkProtocol:
        peer = _Peer(self._serve, self._greeted, self._gone)
        loop = asyncio.get_running_loop()
        if len(self._strangers) >= STRANGERS_MAX or self._listening is None:
            peer.protocol.abort("too many connections")
            return peer.protocol
        self._strangers.add(peer)
        peer.greeting = loop.call_later(
            GREETING_S_MAX, peer.protocol.abort, f"no greeting within {GREETING_S_MAX:g} s"
        )
        return peer.protocol

    def _greeted(self, peer: "_Peer") -> None:
        self._strangers.discard(peer)
        former = self._peers.get(peer.index)
        self._peers[peer.index] = peer
        if former is not None:
            former.protocol.abort("it is connected anew")

    def _gone(self, peer: "_Peer", why: str) -> None:
        self._strangers.discard(peer)
        if self._peers.get(peer.index) is peer:
            del self._peers[peer.index]
            log.debug("worker %d is not linked any more: %s", peer.index, why)
        elif peer.index < 0:
            log.warning("somebody at the socket for workers was let go: %s", why)


class _Peer:
    """One connection."""

    __slots__ = (
        "_gone",
        "_greeted",
        "_is_held",
        "_serve",
        "_unanswered",
        "greeting",
        "index",
        "protocol",
    )

    def __init__(
        self,
        serve: Serve,
        greeted: "Callable[[_Peer], None]",
        gone: "Callable[[_Peer, str], None]",
    ) -> None:
        self.index = -1
        """-1 before it has greeted."""
        self.greeting: asyncio.TimerHandle | None = None
        self.protocol = LinkProtocol(self._on_frame, self._on_lost, always_reads=False)
        self._serve = serve
        self._greeted = greeted
        self._gone = gone
        self._unanswered = 0
        self._is_held = False

    def _on_frame(self, frame: Frame) -> None:
        if self.index < 0:
            if frame.kind != HELLO:
                raise MalformedError(f"kind {frame.kind} before a greeting")
            self.index = read_hello(frame.body)
            self._stop_waiting()
            self._greeted(self)
            self.protocol.send(GRANTED, frame.id, [])
        elif frame.kind == PING:
            self.protocol.send(GRANTED, frame.id, [])
        else:
            self._request(frame)

    def _request(self, frame: Frame) -> None:
        self._unanswered += 1
        if self._unanswered >= UNANSWERED_MAX and not self._is_held:
            self._is_held = True
            self.protocol.hold(is_held=True)
        answer = partial(self._answer, frame.id)
        try:
            self._serve(self.index, frame.kind, frame.body, answer)
        except RequestError as error:
            answer(error)
        except MalformedError:
            raise
        except Exception:
            log.exception("a request of worker %d failed (kind %d)", self.index, frame.kind)
            answer(RequestError(ErrorCode.UNKNOWN_SERVER_ERROR, "a bug; the log has more"))

    def _answer(self, id_: int, outcome: bytes | RequestError) -> None:
        self._unanswered -= 1
        if isinstance(outcome, RequestError):
            self.protocol.send(REFUSED, id_, [refusal_body(outcome)])
        else:
            self.protocol.send(GRANTED, id_, [outcome])
        if self._is_held and self._unanswered <= UNANSWERED_MAX // 2:
            self._is_held = False
            self.protocol.hold(is_held=False)

    def _on_lost(self, why: str) -> None:
        self._stop_waiting()
        self._gone(self, why)

    def _stop_waiting(self) -> None:
        if self.greeting is not None:
            self.greeting.cancel()
            self.greeting = None
