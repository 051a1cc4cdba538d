"""The asking end of a link to one other worker: requests out, answers back, reconnecting for ever.

A request on a link that is down is refused at once with `LinkDown`: it was not sent. One that was
sent and whose link broke before the answer is told `LinkLost`: nobody knows whether it was done,
so only what may be done twice may be asked again. Who is told of neither is answered.

A worker that dies is noticed at once, by its socket. One that hangs is noticed when something is
asked of it and nothing has been heard for SILENCE_S_MAX; the link is then broken from here, and
what the other end has not taken up by then it never will (`listener`).

What must not enter: what is asked.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from headrace.links.errors import LinkDown, LinkLost
from headrace.links.frames import (
    GRANTED,
    HELLO,
    PING,
    REFUSED,
    Buffer,
    Frame,
    hello_body,
    read_refusal,
)
from headrace.links.protocol import LinkProtocol
from headrace.wire.errors import MalformedError, RequestError

__all__ = ["REQUESTS_MAX", "Link", "LinkDone"]

REQUESTS_MAX: Final = 100_000
"""Unanswered on one link; one more is refused as if the link were down."""
RECONNECT_S_MIN: Final = 0.01
RECONNECT_S_MAX: Final = 0.25
"""Between two attempts to connect; the pauses double."""
GREETING_S_MAX: Final = 5.0
"""From the connection until the other end has greeted."""
PING_INTERVAL_S: Final = 1.0
"""While something is unanswered."""
SILENCE_S_MAX: Final = 10.0
"""Without a word, though asked, a worker counts as dead."""

_PING_ID: Final = 0
_ID_MAX: Final = 0xFFFF_FFFF

log = logging.getLogger("headrace.links")


LinkDone = Callable[[bytes | RequestError], None]
"""Told the body of what was granted, what the other worker refused it with, or LinkLost."""


class Link:
    """To worker `peer`, which listens at `path`, from worker `worker`. On the loop's thread."""

    def __init__(
        self, path: str, worker: int, peer: int, *, silence_s: float = SILENCE_S_MAX
    ) -> None:
        self.peer = peer
        self.is_up = False
        self.times_up = 0
        """How often it was connected since the start."""
        self._path = path
        self._worker = worker
        self._silence_s = silence_s
        self._protocol: LinkProtocol | None = None
        self._lost: asyncio.Future[str] | None = None
        """Done when the connection has ended."""
        self._unanswered: dict[int, LinkDone] = {}
        self._last_id = _PING_ID
        self._heard_s = 0.0
        self._pinging: asyncio.TimerHandle | None = None
        self._watchers: list[Callable[[], None]] = []
        self._keeping: asyncio.Task[None] | None = None

    def when_up(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever the link is connected, before anything else is asked on it."""
        self._watchers.append(watcher)

    def start(self) -> None:
        """Connect, and connect again, until `close`."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name=f"link to worker {self.peer}")

    async def close(self) -> None:
        """Who waits for an answer is told LinkLost. Idempotent."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None

    def reset(self, why: str) -> None:
        """Break the connection; it is made again at once."""
        self._drop(why)

    def send(self, kind: int, body: Sequence[Buffer], done: LinkDone) -> None:
        """Ask; `done` is called once, later, and must not raise. What `body` holds must stay as it
        is until then. Raises LinkDown, ValueError for a body that is too large."""
        protocol = self._protocol
        if not self.is_up or protocol is None:
            raise LinkDown(f"worker {self.peer} cannot be reached")
        if len(self._unanswered) >= REQUESTS_MAX:
            raise LinkDown(f"worker {self.peer} has {REQUESTS_MAX} requests to answer")
        id_ = self._next_id()
        protocol.send(kind, id_, body)
        self._unanswered[id_] = done
        if self._pinging is None:
            self._watch()

    async def ask(self, kind: int, body: Buffer, timeout_s: float) -> bytes:
        """The answer's body. Raises RequestError: what the other worker refused it with, LinkDown,
        LinkLost, also when there is no answer within `timeout_s`."""
        answer: asyncio.Future[bytes | RequestError] = asyncio.get_running_loop().create_future()

        def done(outcome: bytes | RequestError) -> None:
            if not answer.done():
                answer.set_result(outcome)

        self.send(kind, [body], done)
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await answer
        except TimeoutError:
            raise LinkLost(f"worker {self.peer} took more than {timeout_s:g} s") from None
        if isinstance(outcome, RequestError):
            raise outcome
        return outcome

    # Connecting

    async def _keep(self) -> None:
        pause_s = RECONNECT_S_MIN
        try:
            while True:
                try:
                    lost = await self._connect()
                except (OSError, TimeoutError, RequestError) as error:
                    log.debug("worker %d cannot be reached: %s", self.peer, error)
                except Exception:  # whatever it is: a link that gives up is down for ever
                    log.exception("linking to worker %d failed, trying on", self.peer)
                else:
                    pause_s = RECONNECT_S_MIN
                    why = await lost
                    log.debug("the link to worker %d is down: %s", self.peer, why)
                    continue
                self._drop("not greeted")
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_S_MAX)
        finally:
            self._drop("the link is closed")

    async def _connect(self) -> "asyncio.Future[str]":
        """Raises OSError, TimeoutError, RequestError."""
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[str] = loop.create_future()
        self._lost = lost
        protocol = LinkProtocol(
            self._on_frame, lambda why: self._on_lost(lost, why), always_reads=True
        )
        async with asyncio.timeout(GREETING_S_MAX):
            await loop.create_unix_connection(lambda: protocol, self._path)
            self._protocol = protocol
            greeted: asyncio.Future[bytes | RequestError] = loop.create_future()
            id_ = self._next_id()
            self._unanswered[id_] = lambda outcome: _settle(greeted, outcome)
            protocol.send(HELLO, id_, [hello_body(self._worker)])
            outcome = await greeted
        if isinstance(outcome, RequestError):
            raise outcome
        if lost.done():  # between the greeting and this turn of the loop
            raise LinkLost(lost.result())
        self.is_up = True
        self.times_up += 1
        for watcher in self._watchers:
            watcher()
        return lost

    def _on_lost(self, lost: "asyncio.Future[str]", why: str) -> None:
        if lost is self._lost and not lost.done():
            self._drop(why)

    def _drop(self, why: str) -> None:
        """The connection has ended, or is to: tell everyone who waits."""
        self.is_up = False
        protocol, self._protocol = self._protocol, None
        lost, self._lost = self._lost, None
        if protocol is not None:
            protocol.abort(why)
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None
        waiting, self._unanswered = self._unanswered, {}
        for done in waiting.values():
            done(LinkLost(f"worker {self.peer} was lost: {why}"))
        if lost is not None and not lost.done():
            lost.set_result(why)

    # Answers

    def _on_frame(self, frame: Frame) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        if frame.kind == GRANTED:
            outcome: bytes | RequestError = bytes(frame.body)
        elif frame.kind == REFUSED:
            outcome = read_refusal(frame.body)
        else:
            raise MalformedError(f"an answer of kind {frame.kind}")
        done = self._unanswered.pop(frame.id, None)
        if done is not None:  # None: a ping
            done(outcome)

    def _next_id(self) -> int:
        self._last_id = self._last_id % _ID_MAX + 1
        return self._last_id

    # Silence

    def _watch(self) -> None:
        """Something was asked of a worker that owed nothing."""
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        self._pinging = loop.call_later(PING_INTERVAL_S, self._ping)

    def _ping(self) -> None:
        self._pinging = None
        if not self._unanswered or self._protocol is None:
            return
        loop = asyncio.get_running_loop()
        silent_s = loop.time() - self._heard_s
        if silent_s > self._silence_s:
            log.warning("worker %d has said nothing for %.1f s", self.peer, silent_s)
            self._drop(f"silent for {silent_s:.1f} s")
            return
        self._protocol.send(PING, _PING_ID, [])
        self._pinging = loop.call_later(PING_INTERVAL_S, self._ping)


def _settle(future: "asyncio.Future[bytes | RequestError]", outcome: bytes | RequestError) -> None:
    if not future.done():
        future.set_result(outcome)
