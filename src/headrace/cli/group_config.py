"""Group configurations through Kafka's admin protocol, and those that only Headrace has.

What must not enter: what they are good for (`ephemeral`, `group_reset`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["DURABLE", "RESET_UNTIL_MS", "group_configs", "set_group_config"]

DURABLE: Final = "headrace.group.durable"
RESET_UNTIL_MS: Final = "headrace.group.reset.until.ms"

_NOT_KNOWN: Final = frozenset({"INVALID_REQUEST", "UNSUPPORTED_VERSION"})
"""How brokers answer that have no configurations of groups."""


def set_group_config(
    connection: Connection, admin: "AdminClient", group: str, changes: Mapping[str, str | None]
) -> None:
    """All of the changes or none; None: back to the default. Raises Failure."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entries = [
        ConfigEntry(
            name,
            value,
            incremental_operation=(
                AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
            ),
        )
        for name, value in changes.items()
    ]
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
    futures = admin.incremental_alter_configs([resource], request_timeout=connection.timeout_s)
    connection.wait(futures[resource], f"configure group {group}")


def group_configs(
    connection: Connection, admin: "AdminClient", group: str
) -> dict[str, str | None]:
    """What is set for the group itself, by name; nothing on a broker that has no such thing.

    Raises Failure.
    """
    from confluent_kafka.admin import ConfigResource, ConfigSource, ResourceType

    resource = ConfigResource(ResourceType.GROUP, group)
    future = admin.describe_configs([resource], request_timeout=connection.timeout_s)[resource]
    try:
        entries = connection.wait(future, f"configurations of group {group}")
    except Failure as failure:
        if failure.reason in _NOT_KNOWN:
            return {}
        raise
    own = ConfigSource.GROUP_CONFIG.value
    return {
        name: entry.value
        for name, entry in sorted(entries.items())
        if getattr(entry.source, "value", entry.source) == own
    }
