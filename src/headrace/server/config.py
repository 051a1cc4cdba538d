"""What the server is told: defaults < TOML file < environment < command line.

A setting has one name in all three places: `durability = "os"` in the file,
`HEADRACE_DURABILITY=os` in the environment, `--durability os` on the command line. Kafka's own
broker and topic configurations keep Kafka's names and live in two sections:

    data = "/var/lib/headrace"
    kafka = "0.0.0.0:9092"
    advertise = "broker.example:9092"

    [broker]
    num.partitions = 12

    [topic]                       # for topics that do not set it themselves
    retention.ms = 86400000

which are `HEADRACE_BROKER_NUM_PARTITIONS=12` and `HEADRACE_TOPIC_RETENTION_MS=86400000` in the
environment, and `--broker num.partitions=12 --topic retention.ms=86400000` on the command line.
Every value remembers where it came from. Whatever is not understood is a `ConfigError` that says
where it stands and what was expected, never a guess.

What must not enter: anything that acts on the settings.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from headrace.broker.broker_configs import BROKER_CONFIGS, BROKER_FACTS
from headrace.broker.configs import Config, lookup
from headrace.broker.topic_configs import TOPIC_CONFIGS
from headrace.server.address import Address
from headrace.server.config_sources import (
    FILE_VARIABLE,
    Options,
    Value,
    from_environment,
    from_file,
    from_options,
)
from headrace.server.port_check import check_ports
from headrace.server.settings import SECTIONS, SETTINGS, ConfigError
from headrace.wire.errors import RequestError

__all__ = ["Address", "ConfigError", "Durability", "ServerConfig", "load"]

Durability = Literal["fsync", "os"]

_KAFKA_DEFAULT: Final = Address("127.0.0.1", 9092)
_HTTP_DEFAULT: Final = Address("127.0.0.1", 9080)
_GRPC_DEFAULT: Final = Address("127.0.0.1", 9090)
_KNOWN: Final[Mapping[str, Mapping[str, Config]]] = {
    "broker": BROKER_CONFIGS,
    "topic": TOPIC_CONFIGS,
}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What `headrace.server.serve.run` needs to know. Build it directly, or with `load`."""

    data_dir: str = "./headrace-data"
    """`load` makes it absolute."""
    kafka: Address = _KAFKA_DEFAULT
    """Where Kafka clients are listened for; port 0 takes a free one."""
    advertise: Address | None = None
    """What clients are told to connect to; None: `kafka`, with the port that was bound."""
    http: Address | None = _HTTP_DEFAULT
    """Where monitoring may ask; port 0 takes a free one; None: nowhere."""
    grpc: Address | None = _GRPC_DEFAULT
    """Where gRPC is served; port 0 takes a free one; None: nowhere."""
    grpc_cert: str | None = None
    """PEM file with certificate and chain; with it, and `grpc_key`, gRPC is served by TLS only."""
    grpc_key: str | None = None
    durability: Durability = "fsync"
    workers: int = 1
    """Processes that serve; each is a broker with a node id and a port of its own."""
    node_id: int = 1
    broker: Mapping[str, str] = field(default_factory=dict)
    """Kafka broker configs by Kafka's names, as text; those not named have their defaults."""
    topic: Mapping[str, str] = field(default_factory=dict)
    """Kafka topic configs by Kafka's names, as text: defaults for topics."""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Where a value was set, by key (`kafka`, `broker.num.partitions`); absent: its default."""

    def advertised(self, bound_port: int) -> Address:
        """What clients are told to connect to, once the listener's port is known."""
        return self.advertise or Address(self.kafka.host, bound_port)

    def lines(self) -> Iterator[str]:
        """The configuration as a TOML file, each value with its source as a comment."""
        for setting in SETTINGS:
            value = getattr(self, setting.attribute)
            if value is not None or setting.key in self.sources:
                text = "off" if value is None else str(value)
                yield self._line(setting.key, setting.key, text)
        for section in SECTIONS:
            values: Mapping[str, str] = getattr(self, section)
            if values:
                yield f"\n[{section}]"
            for name, text in values.items():
                yield self._line(f"{section}.{name}", name, text)

    def _line(self, key: str, name: str, text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name} = "{escaped}"  # {self.sources.get(key, "default")}'


def load(options: Options, environment: Mapping[str, str]) -> ServerConfig:
    """Put the sources together, the later one winning.

    `options` is the command line: a setting's key, or `config` (the file), to its text; `broker`
    and `topic` to `NAME=VALUE` texts. `environment` is usually `os.environ`.
    Raises ConfigError.
    """
    file = options.get("config", environment.get(FILE_VARIABLE))
    values = from_file(file) if isinstance(file, str) else {}
    values |= from_environment(environment)
    values |= from_options(options)
    config = _read(values)
    if config.kafka.is_wildcard and config.advertise is None:
        raise ConfigError(
            f"{values['kafka'].place}: {config.kafka} listens on every interface, and clients "
            "cannot be told to connect to that; say what they can reach (--advertise HOST:PORT)"
        )
    _check_tls(config, values)
    check_ports(config, values)
    return config


def _check_tls(config: ServerConfig, values: Mapping[str, Value]) -> None:
    """Half of what TLS needs would be a door that is open to everybody."""
    for key, other in (("grpc_cert", "grpc_key"), ("grpc_key", "grpc_cert")):
        if key in values and other not in values:
            raise ConfigError(
                f"{values[key].place}: TLS needs a certificate and its key; {other} is not set"
            )


def _read(values: Mapping[str, Value]) -> ServerConfig:
    ours: dict[str, Any] = {"data_dir": os.path.abspath(ServerConfig().data_dir)}
    sections: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for setting in SETTINGS:
        value = values.get(setting.key)
        if value is not None:
            try:
                ours[setting.attribute] = setting.read(value.text)
            except ValueError as expected:
                found = f'expected {expected}, got "{value.text}"'
                raise ConfigError(f"{value.place}: {found}") from None
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            _check(section, name, value)
            sections[section][name] = value.text
    return ServerConfig(
        **ours,
        broker=sections["broker"],
        topic=sections["topic"],
        sources={key: value.source for key, value in values.items()},
    )


def _check(section: str, name: str, value: Value) -> None:
    """So that the message can say where it stands; the broker checks again what it is given."""
    try:
        config = lookup(_KNOWN[section], name, section)
        config.parse(value.text)
    except RequestError as refused:
        raise ConfigError(f"{value.place}: {refused.message}") from None
    if section == "broker" and name in BROKER_FACTS:
        raise ConfigError(f"{value.place}: {name} says what the broker is, it cannot be set here")
