"""The gRPC port, plain or with TLS: accepts clients, bounds them, sweeps them, drains them.

One receive buffer serves all clients: a read is taken up before the next one begins. What speaks
HTTP/2 is imported for the first client, since it and `hpack` cost a start 20 to 30 ms.
What must not enter: HTTP/2.
"""

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final

from headrace.broker.grpc_stats import GrpcStats
from headrace.doors.http2.limits import GrpcLimits, MemoryBudget
from headrace.doors.http2.services import Services

if TYPE_CHECKING:
    import ssl

    from headrace.doors.http2.protocol import GrpcProtocol

__all__ = ["GrpcListener", "tls_context"]

SCRATCH_BYTES: Final = 1024 * 1024
BACKLOG: Final = 1024
SWEEP_S: Final = 5.0
CLOSE_S: Final = 1.0
"""How long what is then said may take to leave."""

log = logging.getLogger("headrace.grpc")


def tls_context(certificate: str, key: str) -> "ssl.SSLContext":
    """TLS 1.2 or newer with `h2` by ALPN (RFC 9113 section 9.2), from PEM files: a certificate with
    its chain, and its key. Raises OSError, of which ssl.SSLError is one."""
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate, key)
    return context


class GrpcListener:
    """One listening socket and its clients; all calls on the loop's thread."""

    def __init__(
        self,
        services: Services,
        limits: GrpcLimits | None = None,
        tls: "ssl.SSLContext | None" = None,
        stats: GrpcStats | None = None,
    ) -> None:
        self.services = services
        self.stats = stats or GrpcStats()
        self.limits = limits or GrpcLimits()
        self.budget = MemoryBudget(self.limits)
        self.loop = asyncio.get_running_loop()
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        """Where every client's reads go."""
        self.connections: set[GrpcProtocol] = set()
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    async def bind(self, host: str, port: int) -> tuple[str, int]:
        """Bind `host` and `port` (0: any free one) and return the address; `open` accepts.
        Raises OSError."""
        found = await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
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
        self._server = await self.loop.create_server(
            self._welcome,
            sock=listening,
            backlog=BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=self.limits.handshake_s if self._tls else None,
            start_serving=False,
        )
        bound = listening.getsockname()
        return bound[0], bound[1]

    async def open(self) -> None:
        """Begin to accept."""
        if self._server is not None:
            await self._server.start_serving()
            self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def _welcome(self) -> "GrpcProtocol":
        from headrace.doors.http2.protocol import GrpcProtocol

        return GrpcProtocol(self)

    def enter(self, connection: "GrpcProtocol") -> bool:
        """Whether there is room for one more."""
        if len(self.connections) >= self.limits.connections_max or self._server is None:
            log.warning("%s refused: %d connections", connection.peer, len(self.connections))
            self.stats.connections_refused += 1
            return False
        self.connections.add(connection)
        self.stats.connections = len(self.connections)
        self.stats.connections_accepted += 1
        return True

    def leave(self, connection: "GrpcProtocol") -> None:
        self.connections.discard(connection)
        self.stats.connections = len(self.connections)
        if not self.connections:
            self._emptied.set()

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.sweep(now)
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    async def close(self) -> None:
        """Accept no more, let calls come to their end, end the rest. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.drain()
        await self._wait_until_empty(self.limits.drain_s)
        for connection in list(self.connections):
            connection.end_calls("the server stops")
        await self._wait_until_empty(CLOSE_S)
        for connection in list(self.connections):
            connection.abort()
        await self._wait_until_empty(CLOSE_S)

    async def _wait_until_empty(self, seconds: float) -> None:
        if self.connections:
            self._emptied.clear()
            try:
                await asyncio.wait_for(self._emptied.wait(), seconds)
            except TimeoutError:
                log.info("%d connections of the gRPC door are open", len(self.connections))
