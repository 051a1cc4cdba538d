"""What the supervisor gives a worker: one line of JSON on its standard input, and descriptors.

Standard input stays open after it: its end means that the supervisor is gone. On its standard
output the worker says READY, once. What must not enter: anything that acts on it.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from headrace.server.address import Address
from headrace.server.config import ServerConfig

__all__ = ["LINE_BYTES_MAX", "READY", "WorkerPart"]

READY: Final = b"ready\n"
LINE_BYTES_MAX: Final = 1 << 20
"""Of the JSON, whose largest part are configurations as they were set."""

_ADDRESSES: Final = ("kafka", "advertise", "http", "grpc")


@dataclass(frozen=True, slots=True)
class WorkerPart:
    """Worker `index` of `count`; numbers that end in `_fd` are inherited descriptors."""

    index: int
    count: int
    config: ServerConfig
    advertised: tuple[Address, ...]
    """Of every worker, by index."""
    own_dir: str
    links_dir: str
    lock_fd: int
    shared_fd: int
    """Listens on the port that all workers serve."""
    kafka_fd: int
    http_fd: int
    """-1: there is no such door."""
    grpc_fd: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        given = self.lock_fd, self.shared_fd, self.kafka_fd, self.http_fd, self.grpc_fd
        return tuple(fd for fd in given if fd >= 0)

    def encode(self) -> bytes:
        told: dict[str, Any] = asdict(replace(self, advertised=()))
        told["advertised"] = [str(address) for address in self.advertised]
        config = told["config"]
        for name in _ADDRESSES:
            address = getattr(self.config, name)
            config[name] = None if address is None else str(address)
        return json.dumps(told).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Raises ValueError."""
        told = json.loads(line)
        config = told.pop("config")
        for name in _ADDRESSES:
            text = config[name]
            config[name] = None if text is None else Address.parse(text)
        advertised = tuple(Address.parse(text) for text in told.pop("advertised"))
        return cls(config=ServerConfig(**config), advertised=advertised, **told)
