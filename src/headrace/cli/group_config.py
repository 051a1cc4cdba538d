"""Group configurations through Kafka's admin protocol, and those that only Headrace has.

What must not enter: what they are good for (`ephemeral`, `group_reset`).
"""

from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["DURABLE", "RESET_UNTIL_MS", "set_group_config"]

DURABLE: Final = "headrace.group.durable"
RESET_UNTIL_MS: Final = "headrace.group.reset.until.ms"


def set_group_config(
    connection: Connection, admin: "AdminClient", group: str, name: str, value: str | None
) -> None:
    """None: back to the default. Raises Failure."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry(name, value, incremental_operation=operation)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[entry])
    futures = admin.incremental_alter_configs([resource], request_timeout=connection.timeout_s)
    connection.wait(futures[resource], f"configure group {group}")
