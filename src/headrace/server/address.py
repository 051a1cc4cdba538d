"""`HOST:PORT`, read strictly and written back the same way.

What must not enter: name resolution, sockets.
"""

import re
import socket
from typing import Final, NamedTuple, Self

__all__ = ["Address"]

PORT_MAX: Final = 65535
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}")
_NUMBERS: Final = re.compile(r"[0-9.]+")
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


class Address(NamedTuple):
    """A TCP address; `host` is a name, an IPv4 or an IPv6 address without brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, port_min: int = 0) -> Self:
        """`127.0.0.1:9092`, `broker-1.example:9092` or `[::1]:9092`.

        Raises ValueError, whose message says what was expected and continues "expected ...".
        """
        if "://" in text:
            raise ValueError(f"HOST:PORT without a scheme, such as {text.partition('://')[2]}")
        if text.count(":") > 1 and not text.startswith("["):
            raise ValueError("an IPv6 address in brackets, such as [::1]:9092")
        host, colon, port_text = text.rpartition(":")
        if not colon:
            raise ValueError("HOST:PORT, such as 127.0.0.1:9092")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            valid = _is_address(socket.AF_INET6, host.partition("%")[0])
        elif _NUMBERS.fullmatch(host):
            valid = _is_address(socket.AF_INET, host)
        else:
            valid = _NAME.fullmatch(host) is not None
        if not valid:
            raise ValueError("HOST:PORT with a host name or address, such as 127.0.0.1:9092")
        if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= len("65535")):
            raise ValueError("HOST:PORT with a number for the port, such as 127.0.0.1:9092")
        port = int(port_text)
        if not port_min <= port <= PORT_MAX:
            raise ValueError(f"a port from {port_min} to {PORT_MAX}")
        return cls(host, port)

    @property
    def is_wildcard(self) -> bool:
        """Whether it means every interface: something to listen on, nothing to connect to."""
        return self.host in _WILDCARDS

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_address(family: socket.AddressFamily, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True
