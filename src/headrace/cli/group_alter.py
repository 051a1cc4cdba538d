"""`headrace group alter`: set and unset configurations of a group, such as its dead-letter topic.

A configuration outlives its group and may be set before there is one.
What must not enter: looking (`group`).
"""

from typing import Annotated

import typer

from headrace.cli.connection import Connection
from headrace.cli.failure import Exit, Failure, reporting
from headrace.cli.group_config import set_group_config
from headrace.cli.options import Group, Json, name_values, with_connection
from headrace.cli.output import print_json

__all__ = ["alter"]


@reporting
@with_connection
def alter(
    connection: Connection,
    group: Group,
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config", "-c", metavar="NAME=VALUE", help="Set a configuration (repeatable)."
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="NAME", help="Back to the default (repeatable)."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Change a group's configurations."""
    changes: dict[str, str | None] = dict(name_values(config, "--config"))
    for name in unset or []:
        if name in changes:
            raise Failure(f"{name} is both set and unset", Exit.USAGE)
        changes[name] = None
    if not changes:
        raise Failure("nothing to change: say --config or --unset", Exit.USAGE)
    set_group_config(connection, connection.admin(), group, changes)
    if json_output:
        print_json({"group": group, "configs": changes})
        return
    for name, value in changes.items():
        print(f"{group}: {name} is unset" if value is None else f"{group}: {name}={value}")
