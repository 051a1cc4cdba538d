"""A group that is forgotten when its last member leaves: named at random, and made so beforehand.

What must not enter: reading.
"""

import contextlib
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure, note
from headrace.cli.group_config import DURABLE, set_group_config

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["ephemeral_group"]


@contextlib.contextmanager
def ephemeral_group(connection: Connection, admin: "AdminClient") -> Iterator[str]:
    """The id of a group of which nothing is left when the context ends.

    Raises Failure from a broker that keeps all groups.
    """
    group = f"ephemeral-{secrets.token_hex(8)}"
    try:
        set_group_config(connection, admin, group, {DURABLE: "false"})
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
            set_group_config(connection, admin, group, {DURABLE: None})
        except Failure as failure:
            note(f"the configuration of {group} is left behind: {failure}")
