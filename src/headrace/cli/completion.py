"""What a shell may complete that only the broker knows: names of topics and groups.

What must not enter: anything a person would have to wait for; without a broker nothing is offered.
"""

from collections.abc import Iterable
from typing import Final

import typer

from headrace.cli.connection import BOOTSTRAP_DEFAULT, Connection
from headrace.cli.failure import Failure

__all__ = ["group_names", "topic_names"]

TIMEOUT_S: Final = 1.0


def topic_names(context: typer.Context, incomplete: str) -> list[str]:
    try:
        connection = _connection(context)
        names: Iterable[str] = connection.metadata(connection.admin(), None).topics
    except Failure:
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def group_names(context: typer.Context, incomplete: str) -> list[str]:
    try:
        connection = _connection(context)
        future = connection.admin().list_consumer_groups(request_timeout=TIMEOUT_S)
        found = connection.wait(future, "list groups").valid
    except Failure:
        return []
    return sorted(group.group_id for group in found if group.group_id.startswith(incomplete))


def _connection(context: typer.Context) -> Connection:
    bootstrap = context.params.get("bootstrap") or BOOTSTRAP_DEFAULT
    return Connection(bootstrap, TIMEOUT_S, context.params.get("properties"))
