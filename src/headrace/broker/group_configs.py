"""What was set for single groups, and what holds for them.

A configuration outlives its group, as in Kafka: it can be set before the first member comes, and
holds again for those who come after everybody left. What is set is read once and kept as a value,
so that a heartbeat costs a dictionary lookup. The bounds that a value was checked against may have
moved at a restart since: what is outside then counts as the nearest bound.

What must not enter: which configurations there are (`group_config_table`), what a group does with
them (`group_coordinator`).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace.broker.broker_configs import BrokerConfigs
from headrace.broker.configs import ConfigEntry, ConfigSynonym, invalid, lookup
from headrace.broker.group_config_table import DURABLE, GROUP_CONFIGS, NUMBERS, RESET_UNTIL_MS
from headrace.catalog.group_configs import GroupConfigRows
from headrace.catalog.writer import Outdated
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigSource

__all__ = ["GROUPS_WITH_CONFIGS_MAX", "GroupConfigs"]

GROUPS_WITH_CONFIGS_MAX: Final = 100_000
"""For one more group nothing can be set."""

_SHORTER_THAN: Final = {
    "consumer.heartbeat.interval.ms": "consumer.session.timeout.ms",
    "share.heartbeat.interval.ms": "share.session.timeout.ms",
}
"""A member that reports when it is told to must not be given up."""


class GroupConfigs:
    """What is set for groups: in memory for readers, in the catalog for the next start."""

    def __init__(
        self,
        rows: GroupConfigRows,
        values: dict[str, dict[str, str]],
        broker: BrokerConfigs,
    ) -> None:
        self._rows = rows
        self._texts = values
        self._broker = broker
        self._values = {group_id: self._read(texts) for group_id, texts in values.items()}
        self._defaults = {
            name: config.parse(config.default)
            for name, config in GROUP_CONFIGS.items()
            if name not in NUMBERS
        }
        self._spent: dict[str, int] = {}
        """By group id, the RESET_UNTIL_MS that was made use of."""
        self._altering: Counter[str] = Counter()
        """Groups of which the catalog does not have what is here yet."""
        self._watchers: list[Callable[[str], None]] = []

    @classmethod
    async def load(cls, rows: GroupConfigRows, broker: BrokerConfigs) -> "GroupConfigs":
        """Raises RequestError if the catalog cannot be read."""
        return cls(rows, await rows.load_all(), broker)

    def integer(self, group_id: str, name: str) -> int:
        """The value in force of an INT or LONG configuration."""
        return int(self._value(group_id, name))

    def boolean(self, group_id: str, name: str) -> bool:
        return bool(self._value(group_id, name))

    def text(self, group_id: str, name: str) -> str:
        return str(self._value(group_id, name))

    def is_set(self, group_id: str, name: str) -> bool:
        """Whether the group has a value of its own."""
        return name in self._values.get(group_id, ())

    def is_durable(self, group_id: str) -> bool:
        return self.boolean(group_id, DURABLE)

    def take_reset(self, group_id: str, now_ms: int) -> bool:
        """Whether a commit from outside may fence the group's members; once for each value set."""
        until_ms = self.integer(group_id, RESET_UNTIL_MS)
        if not until_ms or self._spent.get(group_id) == until_ms:
            return False
        self._spent[group_id] = until_ms
        return now_ms < until_ms

    def when_changed(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher` with a group's id after what is set for it changed; it must not raise."""
        self._watchers.append(watcher)

    def overrides(self, group_id: str) -> dict[str, str]:
        """What is set for this group."""
        return dict(self._texts.get(group_id, {}))

    def entry(self, group_id: str, name: str) -> ConfigEntry:
        """Raises RequestError INVALID_CONFIG."""
        config = lookup(GROUP_CONFIGS, name, "group")
        if name in NUMBERS:
            synonyms = list(self._broker.entry(NUMBERS[name].broker_name).synonyms)
        else:
            synonyms = [ConfigSynonym(name, config.default, ConfigSource.DEFAULT)]
        text = self._texts.get(group_id, {}).get(name)
        if text is not None:
            shown = str(self._value(group_id, name)) if name in NUMBERS else text
            synonyms.insert(0, ConfigSynonym(name, shown, ConfigSource.GROUP))
        return ConfigEntry(config, synonyms[0].value, synonyms[0].source, tuple(synonyms))

    def check(self, group_id: str, values: Mapping[str, str], *, in_use: bool) -> None:
        """Whether these may be all that is set for the group; `in_use` when there is one.

        Raises RequestError INVALID_CONFIG, POLICY_VIOLATION (too many groups have configurations).
        """
        parsed = {
            name: lookup(GROUP_CONFIGS, name, "group").parse(value)
            for name, value in values.items()
        }
        for name in NUMBERS.keys() & parsed.keys():
            self._check_bounds(name, parsed[name])
        for short, long in _SHORTER_THAN.items():
            short_ms, long_ms = (parsed.get(name, self._default(name)) for name in (short, long))
            if (short in parsed or long in parsed) and short_ms >= long_ms:
                raise invalid(f"{short} ({short_ms}) must be less than {long} ({long_ms})")
        if in_use and parsed.get(DURABLE, self._default(DURABLE)) != self.is_durable(group_id):
            raise invalid(
                f"{DURABLE} can be changed while there is no such group; {group_id!r} has members "
                "or committed offsets"
            )
        if len(self._texts) >= GROUPS_WITH_CONFIGS_MAX and group_id not in self._texts:
            raise RequestError(
                ErrorCode.POLICY_VIOLATION,
                f"{GROUPS_WITH_CONFIGS_MAX} groups have configurations; delete some first",
            )

    async def alter(
        self,
        group_id: str,
        change: Callable[[dict[str, str]], dict[str, str]],
        *,
        in_use: bool,
    ) -> None:
        """Replace what is set for the group by what `change` makes of it; durable on return.

        Raises RequestError: what `change` and `check` raise, KAFKA_STORAGE_ERROR.
        """
        before = self.overrides(group_id)
        values = change(self.overrides(group_id))
        self.check(group_id, values, in_use=in_use)
        # At once: a group that comes while this is written shall find it.
        self._set(group_id, values)
        self._altering[group_id] += 1
        try:
            await self._rows.replace(group_id, values, before=before)
        except (RequestError, Outdated) as error:
            if self._texts.get(group_id, {}) == values:
                self._set(group_id, before)
            if not isinstance(error, Outdated):
                raise
        else:
            return
        finally:
            self._altering -= Counter([group_id])
        await self.reload()  # a notice that came meanwhile passed over this group
        raise RequestError(
            ErrorCode.KAFKA_STORAGE_ERROR,
            f"group {group_id!r} is just being configured by another worker, try again",
        )

    async def reload(self) -> None:
        """Take up what other workers changed. Raises RequestError."""
        found = await self._rows.load_all()
        for group_id in (found.keys() | self._texts.keys()) - self._altering.keys():
            if found.get(group_id, {}) != self._texts.get(group_id, {}):
                self._set(group_id, found.get(group_id, {}))

    def _set(self, group_id: str, texts: dict[str, str]) -> None:
        if RESET_UNTIL_MS not in texts:
            self._spent.pop(group_id, None)
        if texts:
            self._texts[group_id] = texts
            self._values[group_id] = self._read(texts)
        else:
            self._texts.pop(group_id, None)
            self._values.pop(group_id, None)
        for watcher in self._watchers:
            watcher(group_id)

    def _value(self, group_id: str, name: str) -> Any:
        own = self._values.get(group_id)
        if own is not None and name in own:
            return own[name]
        return self._default(name)

    def _default(self, name: str) -> Any:
        number = NUMBERS.get(name)
        if number is not None:
            return self._broker.integer(number.broker_name)
        return self._defaults[name]

    def _read(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Texts that were checked once, as the values that hold now. A name that a later version
        set is passed over."""
        values = {
            name: GROUP_CONFIGS[name].parse(text)
            for name, text in texts.items()
            if name in GROUP_CONFIGS
        }
        for name in NUMBERS.keys() & values.keys():
            least, most = self._bounds(name)
            values[name] = max(least, min(values[name], most))
        return values

    def _bounds(self, name: str) -> tuple[int, int]:
        number = NUMBERS[name]
        return self._broker.integer(number.broker_min), self._broker.integer(number.broker_max)

    def _check_bounds(self, name: str, value: int) -> None:
        """Raises RequestError INVALID_CONFIG."""
        least, most = self._bounds(name)
        number = NUMBERS[name]
        if not least <= value <= most:
            raise invalid(
                f"{name}={value}: must be from {least} to {most} "
                f"({number.broker_min}, {number.broker_max})"
            )
