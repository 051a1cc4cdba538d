"""Every broker configuration, and the values in force: changed at run time, else given at the
start, else the default.

Broker and topic configurations meet here: the default of a topic configuration is a broker
configuration under the name that Kafka gives it (`retention.ms` is `log.retention.ms`).
What must not enter: reading files or the environment (`server.config`), what a value is used for.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace.broker.changes import Changes
from headrace.broker.configs import (
    Config,
    ConfigEntry,
    ConfigSynonym,
    boolean,
    integer,
    invalid,
    long,
    lookup,
    text,
)
from headrace.broker.coordination_configs import COORDINATION_CONFIGS
from headrace.broker.topic_configs import BROKER_NAMES, TOPIC_CONFIGS
from headrace.catalog.configs import BrokerConfigRows
from headrace.catalog.writer import Outdated
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigSource, ConfigType

__all__ = [
    "BROKER_CONFIGS",
    "BROKER_FACTS",
    "DEAD_LETTER_AUTO_CREATE",
    "DEAD_LETTER_PREFIX",
    "PARTITIONS_PER_TOPIC_MAX",
    "STREAMS_MAX",
    "STUCK_CONFIG",
    "TOKEN_CLIENTS",
    "BrokerConfigs",
]

PARTITIONS_PER_TOPIC_MAX: Final = 10_000
DEAD_LETTER_AUTO_CREATE: Final = "errors.deadletterqueue.auto.create.topics.enable"
DEAD_LETTER_PREFIX: Final = "errors.deadletterqueue.topic.name.prefix"
STREAMS_MAX: Final = "headrace.streams.max"
STUCK_CONFIG: Final = "headrace.group.stuck.ms"
TOKEN_CLIENTS: Final = "headrace.token.clients"  # noqa: S105 - the name of a file

# read_only where the value is read once, at the start.
_OWN: Final = (
    text(
        "advertised.listeners",
        "",
        "Where clients are told to connect to.",
        kind=ConfigType.LIST,
        read_only=True,
    ),
    boolean(
        "auto.create.topics.enable",
        True,
        "Create a topic when a client that allows it asks for its metadata.",
    ),
    long(
        "connections.max.idle.ms",
        600_000,
        "A connection on which nothing happens for so long is closed.",
        least=1000,
        read_only=True,
    ),
    integer(
        "default.replication.factor",
        1,
        "Replicas of a new topic; Headrace keeps one.",
        least=1,
        most=1,
        read_only=True,
    ),
    boolean("delete.topic.enable", True, "Whether topics may be deleted."),
    boolean(
        DEAD_LETTER_AUTO_CREATE,
        False,
        "Create the dead-letter topic that a share group names when the first record is written "
        "to it.",
    ),
    text(
        DEAD_LETTER_PREFIX,
        "dlq.",
        "How the name of every dead-letter topic of share groups must begin; empty: as it likes.",
    ),
    text(
        TOKEN_CLIENTS,
        "",
        "File of ID:SECRET lines: who gets tokens for the gRPC door at /oidc/v1/token of the HTTP "
        "door; empty: everybody, and streams need none.",
        read_only=True,
    ),
    long(
        STUCK_CONFIG,
        60_000,
        "A group member that has data to read and commits no progress for so long is called stuck.",
        least=100,
        read_only=True,
    ),
    text("log.dirs", "", "The data directory.", kind=ConfigType.LIST, read_only=True),
    long(
        "log.cleaner.backoff.ms",
        15_000,
        "Time between two rounds of compaction.",
        least=100,
    ),
    long(
        "log.cleaner.dedupe.buffer.size",
        128 << 20,
        "Bytes of memory for the keys of a compaction pass, of which each takes 32; a log with "
        "more keys takes several passes.",
        least=1 << 20,
    ),
    long(
        "log.retention.check.interval.ms",
        60_000,
        "Time between two looks at what retention no longer keeps; at most a minute is used.",
        least=100,
        read_only=True,
    ),
    integer(
        "max.connections",
        10_000,
        "Connections at one time; one more is refused.",
        least=1,
        read_only=True,
    ),
    integer(
        STREAMS_MAX,
        10_000,
        "Ingest streams open at one time; one more is refused.",
        read_only=True,
    ),
    integer("node.id", 1, "This broker's number.", read_only=True),
    integer(
        "num.partitions",
        1,
        "Partitions of a topic that is created without saying how many.",
        least=1,
        most=PARTITIONS_PER_TOPIC_MAX,
    ),
    integer(
        "socket.request.max.bytes",
        100 * 1024 * 1024,
        "The largest request; a larger one closes its connection.",
        least=1024,
        read_only=True,
    ),
)

BROKER_FACTS: Final = frozenset({"advertised.listeners", "log.dirs", "node.id"})
"""What the broker is; follows from settings of the server that have names of their own."""


def _as_broker_config(topic_config: str, name: str) -> Config:
    config = TOPIC_CONFIGS[topic_config]
    doc = f"Default of the topic configuration {topic_config}. {config.doc}"
    return Config(name, config.kind, config.default, doc, config.read)


BROKER_CONFIGS: Final[dict[str, Config]] = {
    config.name: config
    for config in sorted(
        (
            *_OWN,
            *COORDINATION_CONFIGS,
            *(_as_broker_config(*names) for names in BROKER_NAMES.items()),
        ),
        key=lambda config: config.name,
    )
}


class BrokerConfigs:
    """The values in force. Reading is a dictionary lookup, changing one durable commit."""

    def __init__(
        self,
        rows: BrokerConfigRows,
        changed: Mapping[str, str],
        static: Mapping[str, str],
        facts: Mapping[str, str],
    ) -> None:
        self._rows = rows
        self._changed = dict(changed)
        self._static = dict(static)
        self.facts = dict(facts)
        """Values that are what the broker is, not what it was told."""
        self._values: dict[str, Any] = {}
        self._watchers: list[Callable[[], None]] = []
        self._altering = asyncio.Lock()
        self._changes = Changes()
        self._refresh()

    @classmethod
    async def load(
        cls,
        rows: BrokerConfigRows,
        *,
        broker: Mapping[str, str],
        topic: Mapping[str, str],
        facts: Mapping[str, str],
    ) -> "BrokerConfigs":
        """`broker` and `topic` are what the server's configuration says, by Kafka's names for
        broker configurations and for topic configurations; `topic` sets the topics' defaults.

        Raises RequestError INVALID_CONFIG for an unknown name, a bad value, or a default that is
        given twice.
        """
        static = dict(broker)
        for name, value in topic.items():
            broker_name = BROKER_NAMES.get(lookup(TOPIC_CONFIGS, name, "topic").name)
            if broker_name is None:
                raise invalid(f"{name} has no effect, so it cannot have a default")
            if static.setdefault(broker_name, value) != value:
                raise invalid(f"{name} and {broker_name} are one setting; keep one of them")
        for name, value in static.items():
            config = lookup(BROKER_CONFIGS, name, "broker")
            if name in BROKER_FACTS:
                raise invalid(f"{name} follows from the server's settings and cannot be given")
            config.parse(value)
        return cls(rows, await rows.load_all(), static, facts)

    def integer(self, name: str) -> int:
        """The value of an INT or LONG configuration."""
        return int(self._values[name])

    def boolean(self, name: str) -> bool:
        return bool(self._values[name])

    def text(self, name: str) -> str:
        """The value of a STRING configuration."""
        return str(self._values[name])

    def items(self, name: str) -> tuple[str, ...]:
        """The value of a LIST configuration whose items are checked."""
        return tuple(self._values[name])

    def topic_defaults(self) -> dict[str, str]:
        """Texts by topic configuration's name, for TopicConfig.of."""
        return {topic: self._text(broker)[0] for topic, broker in BROKER_NAMES.items()}

    def changed(self) -> dict[str, str]:
        """What was set at run time and outlives a restart."""
        return dict(self._changed)

    def entry(self, name: str) -> ConfigEntry:
        """Raises RequestError INVALID_CONFIG."""
        config = lookup(BROKER_CONFIGS, name, "broker")
        value, source = self._text(name)
        return ConfigEntry(config, value, source, self._synonyms(name))

    def topic_entry(self, name: str, overrides: Mapping[str, str]) -> ConfigEntry:
        """A topic configuration as it is in force for a topic with these overrides.

        Raises RequestError INVALID_CONFIG.
        """
        config = lookup(TOPIC_CONFIGS, name, "topic")
        synonyms: list[ConfigSynonym] = []
        if name in overrides:
            synonyms.append(ConfigSynonym(name, overrides[name], ConfigSource.TOPIC))
        if name in BROKER_NAMES:
            synonyms += self._synonyms(BROKER_NAMES[name])
        else:
            synonyms.append(ConfigSynonym(name, config.default, ConfigSource.DEFAULT))
        return ConfigEntry(config, synonyms[0].value, synonyms[0].source, tuple(synonyms))

    def when_changed(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after every change at run time; it must not raise."""
        self._watchers.append(watcher)

    def check(self, values: Mapping[str, str]) -> None:
        """Whether these may be set at run time. Raises RequestError INVALID_CONFIG."""
        for name, value in values.items():
            config = lookup(BROKER_CONFIGS, name, "broker")
            if config.read_only:
                raise invalid(f"{name} cannot be changed while the broker runs")
            config.parse(value)

    async def alter(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Replace what was set at run time by what `change` makes of it, durably, then use it.

        Raises RequestError: what `change` raises, INVALID_CONFIG, KAFKA_STORAGE_ERROR.
        """
        await self._changes.run(self._alter(change))

    async def _alter(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        async with self._altering:
            before = self.changed()
            values = change(self.changed())
            self.check(values)
            try:
                await self._rows.replace_all(values, before=before)
            except Outdated as error:
                raise RequestError(
                    ErrorCode.KAFKA_STORAGE_ERROR,
                    "another worker is just changing the configuration, try again",
                ) from error
            self._use(values)

    async def reload(self) -> None:
        """Take up what other workers changed. Raises RequestError."""
        async with self._altering:
            values = await self._rows.load_all()
            if values != self._changed:
                self._use(values)

    def _use(self, values: dict[str, str]) -> None:
        self._changed = values
        self._refresh()
        for watcher in self._watchers:
            watcher()

    def _refresh(self) -> None:
        self._values = {
            name: config.parse(self._text(name)[0]) for name, config in BROKER_CONFIGS.items()
        }

    def _text(self, name: str) -> tuple[str, ConfigSource]:
        first = self._synonyms(name)[0]
        return first.value, first.source

    def _synonyms(self, name: str) -> tuple[ConfigSynonym, ...]:
        places = (
            (self._changed, ConfigSource.DYNAMIC_BROKER),
            (self.facts, ConfigSource.STATIC_BROKER),
            (self._static, ConfigSource.STATIC_BROKER),
        )
        found = [ConfigSynonym(name, at[name], source) for at, source in places if name in at]
        default = ConfigSynonym(name, BROKER_CONFIGS[name].default, ConfigSource.DEFAULT)
        return (*found, default)
