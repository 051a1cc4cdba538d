"""Every group configuration, and what was set for single groups.

A configuration outlives its group, as in Kafka: it can be set before the first member comes, and
holds again for those who come after everybody left.
What must not enter: what a group does with it (`group_coordinator`).
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from headrace.broker.configs import (
    Config,
    ConfigEntry,
    ConfigSynonym,
    boolean,
    invalid,
    long,
    lookup,
)
from headrace.catalog.group_configs import GroupConfigRows
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigSource

__all__ = ["DURABLE", "GROUPS_WITH_CONFIGS_MAX", "GROUP_CONFIGS", "RESET_UNTIL_MS", "GroupConfigs"]

DURABLE: Final = "headrace.group.durable"
RESET_UNTIL_MS: Final = "headrace.group.reset.until.ms"

GROUPS_WITH_CONFIGS_MAX: Final = 100_000
"""For one more group nothing can be set."""


def _by_name(configs: Iterable[Config]) -> Mapping[str, Config]:
    return MappingProxyType({config.name: config for config in configs})


GROUP_CONFIGS: Final = _by_name(
    [
        boolean(
            DURABLE,
            True,
            "Whether the group's members and committed offsets survive a restart and are kept "
            "when its last member leaves. If false they are in memory only and forgotten then. "
            "It can be changed while there is no such group.",
        ),
        long(
            RESET_UNTIL_MS,
            0,
            "Until this time (milliseconds since 1970) one commit from outside the group is "
            "accepted although it has members: they are fenced, join again and go on from the "
            "offsets that it set.",
        ),
    ]
)


class GroupConfigs:
    """What is set for groups: in memory for readers, in the catalog for the next start."""

    def __init__(self, rows: GroupConfigRows, values: dict[str, dict[str, str]]) -> None:
        self._rows = rows
        self._values = values
        self._spent: dict[str, str] = {}
        """By group id, the RESET_UNTIL_MS that was made use of."""

    @classmethod
    async def load(cls, rows: GroupConfigRows) -> "GroupConfigs":
        """Raises RequestError if the catalog cannot be read."""
        return cls(rows, await rows.load_all())

    def is_durable(self, group_id: str) -> bool:
        return self._boolean(DURABLE, self._values.get(group_id, {}))

    def take_reset(self, group_id: str, now_ms: int) -> bool:
        """Whether a commit from outside may fence the group's members; once for each value set."""
        until = self._values.get(group_id, {}).get(RESET_UNTIL_MS)
        if until is None or self._spent.get(group_id) == until:
            return False
        self._spent[group_id] = until
        return now_ms < int(GROUP_CONFIGS[RESET_UNTIL_MS].parse(until))

    def overrides(self, group_id: str) -> dict[str, str]:
        """What is set for this group."""
        return dict(self._values.get(group_id, {}))

    def entry(self, group_id: str, name: str) -> ConfigEntry:
        """Raises RequestError INVALID_CONFIG."""
        config = lookup(GROUP_CONFIGS, name, "group")
        synonyms = [ConfigSynonym(name, config.default, ConfigSource.DEFAULT)]
        overrides = self._values.get(group_id, {})
        if name in overrides:
            synonyms.insert(0, ConfigSynonym(name, overrides[name], ConfigSource.GROUP))
        return ConfigEntry(config, synonyms[0].value, synonyms[0].source, tuple(synonyms))

    def check(self, group_id: str, values: Mapping[str, str], *, in_use: bool) -> None:
        """Whether these may be all that is set for the group; `in_use` when there is one.

        Raises RequestError INVALID_CONFIG, POLICY_VIOLATION (too many groups have configurations).
        """
        for name, value in values.items():
            lookup(GROUP_CONFIGS, name, "group").parse(value)
        if in_use and self._boolean(DURABLE, values) != self.is_durable(group_id):
            raise invalid(
                f"{DURABLE} can be changed while there is no such group; {group_id!r} has members "
                "or committed offsets"
            )
        if len(self._values) >= GROUPS_WITH_CONFIGS_MAX and group_id not in self._values:
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
        try:
            await self._rows.replace(group_id, values)
        except RequestError:
            if self._values.get(group_id, {}) == values:
                self._set(group_id, before)
            raise

    def _set(self, group_id: str, values: dict[str, str]) -> None:
        if RESET_UNTIL_MS not in values:
            self._spent.pop(group_id, None)
        if values:
            self._values[group_id] = values
        else:
            self._values.pop(group_id, None)

    @staticmethod
    def _boolean(name: str, values: Mapping[str, str]) -> bool:
        config = GROUP_CONFIGS[name]
        return bool(config.parse(values.get(name, config.default)))
