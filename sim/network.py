"""Sockets in memory, between loops of one world.

A connection has two ends. What one end sends is on its way for a while and arrives in order; the
two directions, and any two connections, are independent. An end that does not read fills up, and
the other is told to wait. Faults are of a connection: reset (both ends learn of it, what is on its
way is lost), silence (nothing arrives, nobody learns anything), an answer that is cut off.
What must not enter: what the bytes mean.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Final, cast

from sim.loop import SimLoop
from sim.world import MS, World

__all__ = ["BROKER_HOST", "Listening", "Network", "Socket"]

BROKER_HOST: Final = "10.0.0.1"
CLIENT_HOSTS: Final = ("10.0.1.1", BROKER_HOST)
"""The door sends in two ways: to this machine, and to others."""
LATENCY_NS_MIN: Final = 50_000
LATENCY_NS_MAX: Final = 2 * MS
SLOW_ONE_IN: Final = 200
SLOW_NS_MAX: Final = 300 * MS
ROOM_BYTES: Final = 256 * 1024
"""On its way and not read, in one direction."""
SHORT_ONE_IN: Final = 8
"""So often a read or a write takes a part only."""


class Socket:
    """One end; to the door it is a `socket.socket`."""

    def __init__(self, network: "Network", loop: SimLoop, fd: int, name: str) -> None:
        self._network = network
        self._loop = loop
        self._fd = fd
        self.name = name
        self.peer: Socket | None = None
        self.incoming = bytearray()
        self.on_the_way = 0
        """Bytes that were sent to this end and have not arrived."""
        self.arrives_ns = 0
        """When the last of them does."""
        self.has_ended = False
        self.error: OSError | None = None
        self.is_closed = False
        self.silent_until_ns = 0
        """Nothing arrives at this end before."""
        self.cuts_next = False
        """What is sent to this end next is lost, and the connection with it."""

    # As the door and clients see it

    def fileno(self) -> int:
        return -1 if self.is_closed else self._fd

    def setblocking(self, flag: bool) -> None:
        """Never blocks."""

    def setsockopt(self, *_: object) -> None:
        """Nothing to choose."""

    def getsockopt(self, *_: object) -> int:
        """No error that the loop has not told of."""
        return 0

    def getsockname(self) -> tuple[str, int]:
        return BROKER_HOST, 9092

    def recv_into(self, buffer: memoryview) -> int:
        if self.error is not None:
            raise self.error
        if not self.incoming:
            if self.has_ended:
                return 0
            raise BlockingIOError
        size = self._network.some(min(len(buffer), len(self.incoming)))
        buffer[:size] = self.incoming[:size]
        del self.incoming[:size]
        if self.peer is not None:
            self.peer.poke_soon()
        return size

    def send(self, data: bytes | bytearray | memoryview, _: int = 0) -> int:
        return self.sendmsg([data])

    def sendmsg(self, pieces: Sequence[bytes | bytearray | memoryview], *_: object) -> int:
        if self.error is not None:
            raise self.error
        peer = self.peer
        if peer is None or self.is_closed:
            raise BrokenPipeError("the socket is not connected")
        room = ROOM_BYTES - peer.on_the_way - len(peer.incoming)
        if room <= 0:
            raise BlockingIOError
        data = b"".join(pieces)
        data = data[: self._network.some(min(room, len(data)))]
        self._network.carry(peer, data)
        return len(data)

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.watched.pop(self._fd, None)
        self._network.forget(self)
        if self.peer is not None and not self.peer.is_closed:
            if self.incoming:
                self._network.reset_soon(self.peer)
            else:
                self._network.carry(self.peer, b"")

    # As the network sees it

    @property
    def loop(self) -> SimLoop:
        return self._loop

    def is_readable(self) -> bool:
        return bool(self.incoming) or self.has_ended or self.error is not None

    def is_writable(self) -> bool:
        if self.error is not None or self.peer is None:
            return True
        return self.peer.on_the_way + len(self.peer.incoming) < ROOM_BYTES

    def poke(self) -> None:
        if not self.is_closed and not self._loop.is_dead:
            self._loop.poke(self._fd)

    def poke_soon(self) -> None:
        """It has room again, and learns of it."""
        self._network.world.after(LATENCY_NS_MIN, self.poke)

    def fail(self, error: OSError) -> None:
        if self.error is None:
            self.error = error
            self.incoming.clear()
            self.poke()


class Listening:
    """A socket that listens; to the door it is a `socket.socket`."""

    def __init__(self, network: "Network", loop: SimLoop, fd: int, port: int) -> None:
        self._network = network
        self._loop = loop
        self._fd = fd
        self._port = port
        self.arrived: deque[Socket] = deque()

    def fileno(self) -> int:
        return self._fd

    def getsockname(self) -> tuple[str, int]:
        return BROKER_HOST, self._port

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if not self.arrived:
            raise BlockingIOError
        connected = self.arrived.popleft()
        host = CLIENT_HOSTS[connected._fd // 2 % len(CLIENT_HOSTS)]
        return cast("socket.socket", connected), (host, connected._fd)

    def is_readable(self) -> bool:
        return bool(self.arrived)

    def is_writable(self) -> bool:
        return False

    def close(self) -> None:
        self._network.unlisten(self._port, self)
        self._loop.watched.pop(self._fd, None)

    @property
    def loop(self) -> SimLoop:
        return self._loop

    def arrive(self, connected: Socket) -> None:
        self.arrived.append(connected)
        self._loop.poke(self._fd)


class Network:
    """What carries bytes between the loops of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answer_watchers: list[Callable[[], None]] = []
        """Told of every piece that is sent to a client."""
        self.latency_factor = 1
        """How much slower everything is than usual."""
        self._random = world.random("network")
        self._fds = count(1000)
        self._names = count(1)
        self._listening: dict[int, Listening] = {}
        self._open: dict[int, Socket] = {}

    def listen(self, loop: SimLoop, port: int) -> socket.socket:
        listening = Listening(self, loop, next(self._fds), port)
        self._listening[port] = listening
        loop.watched[listening.fileno()] = listening
        return cast("socket.socket", listening)

    def unlisten(self, port: int, listening: Listening) -> None:
        if self._listening.get(port) is listening:
            del self._listening[port]

    def connect(self, loop: SimLoop, port: int, done: Callable[[Socket | None], None]) -> None:
        """`done` is called in `loop` with a connected socket, or None when nobody listens."""

        def reached() -> None:
            listening = self._listening.get(port)
            if listening is None or listening.loop.is_dead:
                loop.call_soon_threadsafe(done, None)
                return
            name = f"c{next(self._names)}"
            near = self._end(loop, f"{name}<")
            far = self._end(listening.loop, f"{name}>")
            near.peer, far.peer = far, near
            listening.arrive(far)
            self.world.after(self._latency_ns(), partial(loop.call_soon, done, near))

        self.world.after(self._latency_ns(), reached)

    def _end(self, loop: SimLoop, name: str) -> Socket:
        made = Socket(self, loop, next(self._fds), name)
        self._open[made.fileno()] = made
        loop.watched[made.fileno()] = made
        return made

    def forget(self, closed: Socket) -> None:
        self._open.pop(closed._fd, None)

    def send(self, fd: int, data: bytes) -> int:
        """What sendfile does with what it has read."""
        return self._open[fd].send(data)

    # Bytes

    def some(self, size: int) -> int:
        """All of it, mostly."""
        if size > 1 and self._random.randrange(SHORT_ONE_IN) == 0:
            return self._random.randrange(1, size)
        return size

    def carry(self, to: Socket, data: bytes) -> None:
        """Let it arrive some time; no bytes are the end."""
        if to.cuts_next:
            self.world.note(f"net cut {to.name}")
            self.reset(to)
            return
        if to.name.endswith("<"):
            for watcher in list(self.answer_watchers):
                watcher()
        to.on_the_way += len(data)
        to.arrives_ns = max(to.arrives_ns, self.world.now_ns + self._latency_ns())
        self.world.at(to.arrives_ns, partial(self._arrive, to, data))

    def _arrive(self, to: Socket, data: bytes) -> None:
        if self.world.now_ns < to.silent_until_ns:
            to.arrives_ns = max(to.arrives_ns, to.silent_until_ns)
            self.world.at(to.silent_until_ns, partial(self._arrive, to, data))
            return
        to.on_the_way -= len(data)
        if to.error is not None:
            return
        if to.is_closed or to.loop.is_dead:
            if to.peer is not None:
                self.reset_soon(to.peer)
            return
        if not data:
            to.has_ended = True
        to.incoming += data
        to.poke()

    def _latency_ns(self) -> int:
        random = self._random
        if random.randrange(SLOW_ONE_IN) == 0:
            return random.randrange(SLOW_NS_MAX)
        return random.randrange(LATENCY_NS_MIN, LATENCY_NS_MAX) * self.latency_factor

    # Faults

    def connections(self) -> list[Socket]:
        """The clients' ends, in the order in which they were made."""
        return [end for end in self._open.values() if end.name.endswith("<")]

    def reset(self, end: Socket) -> None:
        """Both ends learn that the connection is gone."""
        for one in (end, end.peer):
            if one is not None:
                one.fail(ConnectionResetError(104, "Connection reset by peer"))

    def reset_soon(self, end: Socket) -> None:
        error = ConnectionResetError(104, "Connection reset by peer")
        self.world.after(self._latency_ns(), partial(end.fail, error))

    def silence(self, end: Socket, duration_ns: int) -> None:
        """Nothing arrives at this end for so long."""
        end.silent_until_ns = self.world.now_ns + duration_ns

    def lose(self, loop: SimLoop, *, silently_ns: int = 0) -> None:
        """The process is gone, and its ends with it; others learn of it at once, or when they
        send something later than that."""
        for fd, end in list(self._open.items()):
            if end.loop is loop:
                del self._open[fd]
                end.is_closed = True
                peer = end.peer
                if peer is not None and not peer.is_closed:
                    self.world.after(
                        silently_ns + self._latency_ns(),
                        partial(peer.fail, ConnectionResetError(104, "Connection reset by peer")),
                    )
        for port, listening in list(self._listening.items()):
            if listening.loop is loop:
                del self._listening[port]
