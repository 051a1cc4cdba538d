"""The port: accepts connections, bounds them, and sweeps those that have stalled or rest.

Sockets are driven directly (`add_reader`, `recv_into`, `sendfile`) and not through transports:
one buffer serves all idle connections, records leave by sendfile, and both work the same on
uvloop and on plain asyncio.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.broker.fetching import Room
from headrace.doors.kafka.connection import Connection
from headrace.doors.kafka.crowd import Crowd
from headrace.doors.kafka.inbox import BufferPool
from headrace.doors.kafka.registry import apis
from headrace.doors.kafka.slices import CopySlice
from headrace.doors.sockets import look_after

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["Limits", "Listener"]

log = logging.getLogger("headrace.kafka")

BACKLOG: Final = 1024
ACCEPTS_PER_TURN_MAX: Final = 64
ACCEPT_PAUSE_S: Final = 0.1
"""How long no connection is taken after the process ran out of file descriptors."""
SWEEP_S: Final = 5.0
DRAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Named bounds of the door."""

    connections_max: int = 10_000
    frame_bytes_max: int = 100 * 1024 * 1024
    """socket.request.max.bytes"""
    receive_bytes_max: int = 1 << 30
    """Unfinished requests of all connections together."""
    idle_s: float = 600.0
    """connections.max.idle.ms"""
    stall_s: float = 60.0
    """How long a peer may leave a request unfinished or an answer untaken."""
    receive_bytes_per_s_min: int = 1024
    """What a request must bring on average once it is older than `stall_s`."""


class Listener:
    """One listening socket and its connections; all calls on the loop's thread."""

    def __init__(
        self, broker: "Broker", limits: Limits, now: Callable[[], float] | None = None
    ) -> None:
        self.broker = broker
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.now = now or self.loop.time
        self.pool = BufferPool(limits.receive_bytes_max)
        self.fetch_room = Room()
        self.copy_slice = CopySlice()
        self.connections: dict[Connection, None] = {}
        """In the order of their coming, which a set would leave to where they are in memory."""
        self._sockets: list[socket.socket] = []
        self._to_flush: list[Connection] = []
        self.crowd = Crowd()
        self._next_id = 1
        self._cannot_accept = False
        """The last attempt failed, and has been logged."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event = asyncio.Event()

    async def bind(self, host: str, port: int) -> tuple[str, int]:
        """Bind `host` and `port` (0: any free one) and return the address; `open` accepts.
        Raises OSError."""
        family, kind, proto, _, address = (
            await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )[0]
        listening = socket.socket(family, kind, proto)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        return self.listen_on(listening)

    def listen_on(self, listening: socket.socket) -> tuple[str, int]:
        """Take over a socket that listens and does not block; its address."""
        self._sockets.append(listening)
        bound = listening.getsockname()
        return bound[0], bound[1]

    def open(self) -> None:
        """Begin to accept."""
        apis()
        for listening in self._sockets:
            self.loop.add_reader(listening.fileno(), self._on_acceptable, listening)
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def _on_acceptable(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN_MAX):
            try:
                connected, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if not self._cannot_accept:
                    log.error("cannot accept connections, trying on: %s", error)
                self._cannot_accept = True
                self.loop.remove_reader(listening.fileno())
                self.loop.call_later(ACCEPT_PAUSE_S, self._accept_again, listening)
                return
            self._cannot_accept = False
            if len(self.connections) >= self.limits.connections_max:
                log.warning(
                    "%s refused: %d connections are open (max.connections)",
                    address[0],
                    len(self.connections),
                )
                connected.close()
                self.broker.stats.connections_refused += 1
                continue
            self._welcome(connected, f"{address[0]}:{address[1]}")

    def _accept_again(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self.loop.add_reader(listening.fileno(), self._on_acceptable, listening)

    def _welcome(self, connected: socket.socket, peer: str) -> None:
        try:
            connected.setblocking(False)
            look_after(connected)
            self.connections[Connection(self, connected, peer, self._next_id)] = None
            self.broker.stats.connections = len(self.connections)
            self.broker.stats.connections_accepted += 1
        except OSError as error:  # gone already
            log.debug("%s closed: %s", peer, error)
            connected.close()
        self._next_id += 1

    def forget(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
        self.broker.share.connection_closed(connection.id)
        self.broker.stats.connections = len(self.connections)
        if not self.connections:
            self._emptied.set()

    def flush_soon(self, connection: Connection) -> None:
        """Send the connection's answers at the end of this turn: one send for all that a sync of
        the log has made ready."""
        if not self._to_flush:
            self.loop.call_soon(self._flush)
        self._to_flush.append(connection)

    def _flush(self) -> None:
        ready, self._to_flush = self._to_flush, []
        self.crowd.left_together(len(ready))
        for connection in ready:
            connection.flush()
            connection.go_on()

    def _sweep(self) -> None:
        now = self.now()
        for connection in list(self.connections):
            quiet_s = now - connection.active_at
            if connection.close_if_broken():
                continue
            if connection.is_waiting_for_peer():
                if quiet_s > self.limits.stall_s:
                    connection.close(f"no byte moved for {quiet_s:.0f} s in mid-request")
                elif connection.is_too_slow(now):
                    connection.close("its request takes too long to arrive")
            elif connection.is_at_rest():
                if quiet_s > self.limits.idle_s:
                    connection.close(f"idle for {quiet_s:.0f} s", quietly=True)
                elif quiet_s > SWEEP_S:
                    connection.rest()
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    async def close(self) -> None:
        """Accept no more, give what is being answered a moment to leave, close the rest."""
        for listening in self._sockets:
            self.loop.remove_reader(listening.fileno())
            listening.close()
        self._sockets.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._emptied.clear()
            try:
                await asyncio.wait_for(self._emptied.wait(), DRAIN_S)
            except TimeoutError:
                log.info("%d connections did not drain", len(self.connections))
        for connection in list(self.connections):
            connection.close("the broker stops", quietly=True)
