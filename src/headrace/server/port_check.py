"""Whether the ports of all doors and workers are different ones, and are ports at all.

What must not enter: sockets; what another program listens on is found out by binding.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from headrace.server.address import PORT_MAX, Address
from headrace.server.config_sources import Value
from headrace.server.settings import ConfigError

if TYPE_CHECKING:
    from headrace.server.config import ServerConfig

__all__ = ["check_ports"]


def check_ports(config: "ServerConfig", values: Mapping[str, Value]) -> None:
    """`values` say where settings were written. Raises ConfigError naming both uses of a port."""
    seen: dict[Address, str] = {}
    for key, what, address in _uses(config):
        if not address.port:
            continue
        place = values[key].place if key in values else f"{key} (default)"
        if address.port > PORT_MAX:
            raise ConfigError(
                f"{place}: {what} would listen on port {address.port}, and {PORT_MAX} is the last"
            )
        other = seen.setdefault(address, what)
        if other != what:
            raise ConfigError(f"{place}: {address} is for {what} and for {other}, too")


def _uses(config: "ServerConfig") -> Iterator[tuple[str, str, Address]]:
    """(setting, what for, address) of every port."""
    workers = config.workers if config.workers > 1 else 0
    yield "kafka", "Kafka clients", config.kafka
    if config.kafka.port:
        for index in range(workers):
            address = config.kafka._replace(port=config.kafka.port + 1 + index)
            yield "kafka", f"Kafka clients of worker {index}", address
    if config.http is not None and config.http.port:
        for index in range(config.workers):
            address = config.http._replace(port=config.http.port + index)
            yield "http", f"HTTP of worker {index}" if workers else "HTTP", address
    if config.grpc is not None:
        yield "grpc", "gRPC", config.grpc
    if config.advertise is not None and workers:
        last = config.advertise.port + workers
        if last > PORT_MAX:
            yield "advertise", f"worker {workers - 1}", config.advertise._replace(port=last)
