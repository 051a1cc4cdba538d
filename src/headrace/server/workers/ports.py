"""Every port of every worker, bound before the first of them starts.

Workers inherit the sockets, so a port is open while the worker behind it is started again: clients
that connect meanwhile wait instead of being refused.

    Kafka   P          all workers accept here: where clients begin
            P + 1 + i  worker i: where they are told to go
    HTTP    H + i      worker i
    gRPC    G          the first worker

With port 0 every port is a free one. What must not enter: what is spoken on them.
"""

import socket
from contextlib import ExitStack
from typing import Final, Self

from headrace.server.address import Address
from headrace.server.config import ServerConfig

__all__ = ["PortInUse", "Ports", "bound"]

BACKLOG: Final = 1024


class PortInUse(Exception):
    """A port cannot be bound: which, and why, for a person."""


class Ports:
    """A context manager: at its end all sockets are closed."""

    def __init__(self, config: ServerConfig) -> None:
        """Raises PortInUse."""
        with ExitStack() as undo:
            self._undo = undo
            count = config.workers
            self.shared = self._bind(config.kafka, "")
            self.kafka = [self._bind(_after(config.kafka, 1 + i), "") for i in range(count)]
            self.http: list[socket.socket] = []
            self.grpc: socket.socket | None = None
            if config.http is not None:
                advice = "; set --http to another address, or to off"
                self.http = [self._bind(_after(config.http, i), advice) for i in range(count)]
            if config.grpc is not None:
                advice = "; set --grpc to another address, or to off"
                self.grpc = self._bind(config.grpc, advice)
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def advertised(self, config: ServerConfig) -> tuple[Address, ...]:
        """Where the clients of each worker are told to connect to."""
        if config.advertise is not None:
            return tuple(_after(config.advertise, 1 + i) for i in range(config.workers))
        return tuple(Address(config.kafka.host, bound(own).port) for own in self.kafka)

    def _bind(self, address: Address, advice: str) -> socket.socket:
        try:
            family, kind, proto, _, place = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
            listening = self._undo.enter_context(socket.socket(family, kind, proto))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError as error:
            why = error.strerror or error
            raise PortInUse(f"cannot listen on {address}: {why}{advice}") from error
        return listening


def bound(listening: socket.socket) -> Address:
    """What the socket is bound to."""
    host, port = listening.getsockname()[:2]
    return Address(host, port)


def _after(address: Address, number: int) -> Address:
    """So many ports further; a free one follows a free one."""
    return address._replace(port=address.port + number) if address.port else address
