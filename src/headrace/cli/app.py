"""The commands of `headrace`, put together. What must not enter: what any of them does."""

from typing import Annotated

import typer

import headrace
from headrace.cli import group, local, log, streams, topic, transaction
from headrace.cli.capacity import capacity
from headrace.cli.consume import consume
from headrace.cli.failure import reporting
from headrace.cli.options import command_group
from headrace.cli.produce import produce

__all__ = ["app"]

app = command_group("An event log that every Kafka client can write to and read from.")
app.command("serve")(reporting(local.serve))
app.command("demo")(reporting(local.demo))
app.add_typer(topic.app, name="topic")
app.command("produce")(produce)
app.command("consume")(consume)
app.add_typer(group.app, name="group")
app.add_typer(transaction.app, name="transaction")
app.add_typer(log.app, name="log")
app.add_typer(streams.app, name="streams")
app.command("capacity")(capacity)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"headrace {headrace.__version__}")
        raise typer.Exit


@app.callback()
def _(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print it.")
    ] = False,
) -> None:
    pass
