"""The configuration service: describe and change what topics, groups and the broker are told.

A resource is a topic by name, a group by its id, this broker by its number, or "" for all brokers'
defaults; with one broker the last two are the same values.
What must not enter: how an answer looks in a version.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.broker_configs import BROKER_CONFIGS
from headrace.broker.cluster.peers import Change
from headrace.broker.configs import Config, ConfigEntry, invalid, lookup
from headrace.broker.dead_letter_topic import check_dead_letter_configs
from headrace.broker.group_config_table import GROUP_CONFIGS
from headrace.broker.topic import check_topic_name
from headrace.broker.topic_configs import TOPIC_CONFIGS
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import (
    ConfigResourceType,
    ConfigSource,
    ConfigType,
)
from headrace.wire.messages.k44_incremental_alter_configs import ConfigOperation

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["ConfigChange", "Resource", "amend_configs", "describe_configs", "replace_configs"]

_ALL_BROKERS: Final = ""


class Resource(NamedTuple):
    """What has a configuration; `kind` as in ConfigResourceType."""

    kind: int
    name: str


class ConfigChange(NamedTuple):
    """One step; `operation` as in ConfigOperation."""

    name: str
    operation: int
    value: str | None


def describe_configs(
    broker: "Broker", resource: Resource, names: Iterable[str] | None
) -> list[ConfigEntry]:
    """Every configuration of the resource, or those of these `names` that exist.

    Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, INVALID_GROUP_ID,
    INVALID_REQUEST.
    """
    wanted = None if names is None else frozenset(names)

    def chosen(known: Iterable[str]) -> list[str]:
        return [name for name in known if wanted is None or name in wanted]

    if resource.kind == ConfigResourceType.TOPIC:
        check_topic_name(resource.name)
        overrides = broker.topics.get(resource.name).config.overrides
        return [broker.configs.topic_entry(name, overrides) for name in chosen(TOPIC_CONFIGS)]
    if resource.kind == ConfigResourceType.GROUP:
        broker.groups.check_group_id(resource.name)
        entry = broker.group_configs.entry
        return [entry(resource.name, name) for name in chosen(GROUP_CONFIGS)]
    _check_broker(broker, resource)
    if resource.name != _ALL_BROKERS:
        return [broker.configs.entry(name) for name in chosen(BROKER_CONFIGS)]
    source = ConfigSource.DYNAMIC_DEFAULT_BROKER
    entries = [broker.configs.entry(name) for name in chosen(sorted(broker.configs.changed()))]
    return [entry._replace(source=source) for entry in entries]


async def replace_configs(
    broker: "Broker",
    resource: Resource,
    values: Sequence[tuple[str, str | None]],
    *,
    validate_only: bool,
) -> None:
    """Make `values` everything that is set on the resource.

    Raises RequestError: what describe_configs raises, INVALID_CONFIG, KAFKA_STORAGE_ERROR.
    """
    _check_names([name for name, _ in values])
    replaced: dict[str, str] = {}
    for name, value in values:
        if value is None:
            raise RequestError(ErrorCode.INVALID_REQUEST, f"{name}: null is no value")
        replaced[name] = value
    await _change(broker, resource, lambda _: replaced, validate_only)


async def amend_configs(
    broker: "Broker",
    resource: Resource,
    changes: Sequence[ConfigChange],
    *,
    validate_only: bool,
) -> None:
    """Change what is named and leave the rest: all of the changes or none.

    Raises RequestError: what describe_configs raises, INVALID_CONFIG, KAFKA_STORAGE_ERROR.
    """
    _check_names([change.name for change in changes])

    def amend(values: dict[str, str]) -> dict[str, str]:
        for change in changes:
            _amend_one(broker, resource, values, change)
        return values

    await _change(broker, resource, amend, validate_only)


async def _change(
    broker: "Broker",
    resource: Resource,
    change: Callable[[dict[str, str]], dict[str, str]],
    validate_only: bool,
) -> None:
    if resource.kind == ConfigResourceType.TOPIC:
        check_topic_name(resource.name)
        if validate_only:
            current = broker.topics.get(resource.name).config.overrides
            broker.topics.check_configs(resource.name, change(dict(current)))
        else:
            await broker.topics.alter_configs(resource.name, change)
        return
    if resource.kind == ConfigResourceType.GROUP:
        broker.groups.check_group_id(resource.name)
        await _change_group(broker, resource.name, change, validate_only)
        return
    _check_broker(broker, resource)
    if validate_only:
        broker.configs.check(change(broker.configs.changed()))
    else:
        altering = broker.configs.alter(change)
        await broker.changes.run(_told(broker, altering, Change.BROKER_CONFIGS))


async def _told(broker: "Broker", altering: Awaitable[None], change: Change) -> None:
    await altering
    await broker.peers.tell(change)


async def _change_group(
    broker: "Broker",
    group_id: str,
    change: Callable[[dict[str, str]], dict[str, str]],
    validate_only: bool,
) -> None:
    def checked(values: dict[str, str]) -> dict[str, str]:
        changed = change(dict(values))
        check_dead_letter_configs(broker, values, changed)
        return changed

    in_use = broker.groups.exists(group_id)
    if validate_only:
        values = checked(broker.group_configs.overrides(group_id))
        broker.group_configs.check(group_id, values, in_use=in_use)
    else:
        altering = broker.group_configs.alter(group_id, checked, in_use=in_use)
        await broker.changes.run(_told(broker, altering, Change.GROUP_CONFIGS))


def _amend_one(
    broker: "Broker", resource: Resource, values: dict[str, str], change: ConfigChange
) -> None:
    config = _lookup(resource, change.name)
    if change.operation == ConfigOperation.DELETE:
        values.pop(config.name, None)
        return
    if change.value is None:
        raise RequestError(ErrorCode.INVALID_REQUEST, f"{config.name}: null is no value")
    if change.operation == ConfigOperation.SET:
        values[config.name] = change.value
        return
    current = values.get(config.name)
    if current is None:
        current = _in_force(broker, resource, config.name, values)
    values[config.name] = _amend_list(config, current, change.operation, change.value)


def _lookup(resource: Resource, name: str) -> Config:
    if resource.kind == ConfigResourceType.TOPIC:
        return lookup(TOPIC_CONFIGS, name, "topic")
    if resource.kind == ConfigResourceType.GROUP:
        return lookup(GROUP_CONFIGS, name, "group")
    return lookup(BROKER_CONFIGS, name, "broker")


def _in_force(broker: "Broker", resource: Resource, name: str, overrides: dict[str, str]) -> str:
    if resource.kind == ConfigResourceType.TOPIC:
        return broker.configs.topic_entry(name, overrides).value
    if resource.kind == ConfigResourceType.GROUP:
        return broker.group_configs.entry(resource.name, name).value
    return broker.configs.entry(name).value


def _amend_list(config: Config, current: str, operation: int, value: str) -> str:
    if config.kind != ConfigType.LIST:
        raise invalid(f"{config.name} is no list that could be appended to or subtracted from")
    items = _items(current)
    if operation == ConfigOperation.APPEND:
        items += [item for item in _items(value) if item not in items]
    elif operation == ConfigOperation.SUBTRACT:
        items = [item for item in items if item not in _items(value)]
    else:
        raise RequestError(ErrorCode.INVALID_REQUEST, f"there is no config operation {operation}")
    return ",".join(items)


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise RequestError(ErrorCode.INVALID_REQUEST, "a configuration is named twice")


def _check_broker(broker: "Broker", resource: Resource) -> None:
    if resource.kind != ConfigResourceType.BROKER:
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"resource type {resource.kind} has no configuration here; topics ("
            f"{ConfigResourceType.TOPIC}), brokers ({ConfigResourceType.BROKER}) and groups ("
            f"{ConfigResourceType.GROUP}) have",
        )
    if resource.name not in (_ALL_BROKERS, str(broker.node_id)):
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"there is no broker {resource.name!r}; this one is {broker.node_id}",
        )
