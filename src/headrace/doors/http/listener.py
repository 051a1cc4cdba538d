"""The HTTP port: `/metrics`, `/healthz`, `/readyz` and `/groups`, on the broker's own loop.

Made by hand and not on Starlette and uvicorn, which the design names for this door, because of
what they cost a broker that nobody scrapes: measured with CPython 3.11, importing them (with
httptools) takes 60 to 70 ms and 9 MB, prometheus-client another 30 ms and 5.5 MB, of a start
that has 400 ms and an idle process that has 60 MB; this door takes 8 ms and 0.6 MB. A handful of
routes with small bodies or none need a hundred lines of HTTP. When routes come that stream or take
large bodies, that choice is to be made again.

What must not enter: the Kafka door.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.doors.http.connection import HttpConnection
from headrace.doors.http.routes import Routes

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["HttpLimits", "HttpListener"]

DRAIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Named bounds of the door."""

    connections_max: int = 64
    """One more is answered with 503."""
    head_s: float = 10.0
    """How long a request's head may take to arrive (408)."""
    idle_s: float = 75.0
    """How long a connection without a request stays."""
    send_s: float = 30.0
    """How long a client may take nothing of an answer before it is let go."""


class HttpListener:
    """One listening socket and its clients; all calls on the loop's thread."""

    def __init__(self, broker: "Broker", limits: HttpLimits | None = None) -> None:
        self.limits = limits or HttpLimits()
        self.routes = Routes(broker)
        self.is_closing = False
        self._connections: set[HttpConnection] = set()
        self._server: asyncio.Server | None = None
        self._emptied = asyncio.Event()

    async def bind(self, host: str, port: int) -> tuple[str, int]:
        """Bind `host` and `port` (0: any free one) and return the address; `open` accepts.
        Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.socket(found[0][0], socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(found[0][4])
            return await self.listen_on(listening)
        except OSError:
            listening.close()
            raise

    async def listen_on(self, listening: socket.socket) -> tuple[str, int]:
        """Take over a socket that is bound; its address. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: HttpConnection(self, self.routes.answer, self.routes.bodies),
            sock=listening,
            start_serving=False,
        )
        bound = listening.getsockname()
        return bound[0], bound[1]

    async def open(self) -> None:
        """Begin to accept."""
        if self._server is not None:
            await self._server.start_serving()

    def enter(self, connection: HttpConnection) -> bool:
        """Whether there is room for one more."""
        if len(self._connections) >= self.limits.connections_max:
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    async def close(self) -> None:
        """Accept no more, let answers under way leave, close the rest. Idempotent."""
        self.is_closing = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            if not connection.is_answering():
                connection.close()
        if self._connections:
            self._emptied.clear()
            try:
                await asyncio.wait_for(self._emptied.wait(), DRAIN_S)
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()
