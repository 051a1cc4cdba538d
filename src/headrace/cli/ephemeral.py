"""A group that is forgotten when its last member leaves: named at random, and made so beforehand.

The one thing here that a broker must have of Headrace's: the group configuration
`headrace.group.durable`. What must not enter: reading.
"""

import contextlib
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure, note

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, AlterConfigOpType

__all__ = ["ephemeral_group"]

DURABLE: Final = "headrace.group.durable"


@contextlib.contextmanager
def ephemeral_group(connection: Connection, admin: "AdminClient") -> Iterator[str]:
    """The id of a group of which nothing is left when the context ends.

    Raises Failure from a broker that keeps all groups.
    """
    from confluent_kafka.admin import AlterConfigOpType

    group = f"ephemeral-{secrets.token_hex(8)}"
    try:
        _alter(connection, admin, group, AlterConfigOpType.SET, "false")
    except Failure as failure:
        if not failure.reason:
            raise
        raise Failure(
            f"--ephemeral: this broker keeps the progress of all groups ({failure.reason}); "
            "read without a group, or with --group NAME",
            reason=failure.reason,
        ) from None
    try:
        yield group
    finally:
        try:
            _alter(connection, admin, group, AlterConfigOpType.DELETE, None)
        except Failure as failure:
            note(f"the configuration of {group} is left behind: {failure}")


def _alter(
    connection: Connection,
    admin: "AdminClient",
    group: str,
    operation: "AlterConfigOpType",
    value: str | None,
) -> None:
    from confluent_kafka.admin import ConfigEntry, ConfigResource, ResourceType

    entry = ConfigEntry(DURABLE, value, incremental_operation=operation)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[entry])
    futures = admin.incremental_alter_configs([resource], request_timeout=connection.timeout_s)
    connection.wait(futures[resource], f"configure group {group}")
