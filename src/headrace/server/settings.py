"""Which settings there are, and how the text of each is read.

The one table from which the file, the environment, the command line and `--help` all come.
What must not enter: where a text was found (`config_sources`), what a value is used for.
"""

import difflib
import os
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from headrace.broker.cluster.ownership import WORKERS_MAX
from headrace.server.address import Address

__all__ = ["SECTIONS", "SETTINGS", "ConfigError", "Setting", "suggest"]


class ConfigError(Exception):
    """The configuration is not usable: one line that says where, what, and what was expected."""


class Setting(NamedTuple):
    """One setting of our own: its name in every source, and how its text is read."""

    key: str
    attribute: str
    """Of `ServerConfig`."""
    placeholder: str
    read: Callable[[str], Any]
    """Raises ValueError whose message continues "expected ..."."""
    about: str

    @property
    def variable(self) -> str:
        return f"HEADRACE_{self.key.upper()}"

    @property
    def option(self) -> str:
        return f"--{self.key}".replace("_", "-")


def _read_directory(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("a directory")
    return os.path.abspath(os.path.expanduser(text))


def _read_file(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("a file")
    return os.path.abspath(os.path.expanduser(text))


def _read_durability(text: str) -> str:
    if text not in ("fsync", "os"):
        raise ValueError('"fsync" or "os"')
    return text


def _read_workers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= WORKERS_MAX):
        raise ValueError(f"a number from 1 to {WORKERS_MAX}")
    return int(text)


def _read_door(text: str) -> Address | None:
    if text == "off":
        return None
    try:
        return Address.parse(text)
    except ValueError as expected:
        raise ValueError(f"{expected}, or off") from None


def _read_advertised(text: str) -> Address:
    address = Address.parse(text, port_min=1)
    if address.is_wildcard:
        raise ValueError("an address that clients can connect to")
    return address


SETTINGS: Final = (
    Setting(
        "data",
        "data_dir",
        "DIR",
        _read_directory,
        "data directory (default ./headrace-data)",
    ),
    Setting(
        "kafka",
        "kafka",
        "HOST:PORT",
        Address.parse,
        "listen for Kafka clients here (default 127.0.0.1:9092; port 0 takes a free one)",
    ),
    Setting(
        "advertise",
        "advertise",
        "HOST:PORT",
        _read_advertised,
        "address that clients are told to connect to (default: where it listens)",
    ),
    Setting(
        "http",
        "http",
        "HOST:PORT|off",
        _read_door,
        "serve /metrics, /healthz, /readyz and /groups here (default 127.0.0.1:9080)",
    ),
    Setting(
        "grpc",
        "grpc",
        "HOST:PORT|off",
        _read_door,
        "serve gRPC here (default 127.0.0.1:9090)",
    ),
    Setting(
        "grpc_cert",
        "grpc_cert",
        "FILE",
        _read_file,
        "certificate and chain (PEM) with which gRPC is served by TLS; needs --grpc-key",
    ),
    Setting(
        "grpc_key",
        "grpc_key",
        "FILE",
        _read_file,
        "private key (PEM) of that certificate",
    ),
    Setting(
        "durability",
        "durability",
        "fsync|os",
        _read_durability,
        "fsync: acknowledged means synced to disk (default); os: left to the page cache",
    ),
    Setting(
        "workers",
        "workers",
        "N",
        _read_workers,
        "serve with N processes, on ports that follow those of --kafka, --advertise and --http "
        "(default 1)",
    ),
)

SECTIONS: Final = MappingProxyType(
    {
        "broker": "a Kafka broker configuration, such as num.partitions=12 (repeatable)",
        "topic": "a default for topics, such as retention.ms=86400000 (repeatable)",
    }
)


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}"
