"""Commands that run something here instead of talking to a broker: `serve` and `demo`.

They are declared here so that `--help` and shell completion know them; what they run is imported
when they run. What must not enter: what they do.
"""

import inspect
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from headrace.cli.options import Json
from headrace.server.settings import SECTIONS, SETTINGS

__all__ = ["demo", "serve"]


class Durability(Enum):
    FSYNC = "fsync"
    OS = "os"


def serve(**options: Any) -> int:
    """Start a broker and serve Kafka clients."""
    from headrace.cli import serve as server

    arguments = ["--check"] if options.pop("check") else []
    for key, given in options.items():
        for text in [given] if isinstance(given, str) else given or []:
            arguments += [f"--{key}", text]
    return server.serve(arguments)


def _serve_signature() -> inspect.Signature:
    """The options as `cli.serve` reads them, from the same table."""
    text: Final = str | None
    options: list[tuple[str, Any]] = [
        (
            setting.key,
            Annotated[text, typer.Option(metavar=setting.placeholder, help=setting.about)],
        )
        for setting in SETTINGS
    ]
    for section, about in SECTIONS.items():
        option = typer.Option(f"--{section}", metavar="NAME=VALUE", help=about)
        options.append((section, Annotated[list[str] | None, option]))
    option = typer.Option(metavar="FILE", help="TOML file with settings")
    options.append(("config", Annotated[text, option]))
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options
    ]
    check = inspect.Parameter(
        "check",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option("--check", help="print the configuration")],
    )
    return inspect.Signature([*parameters, check])


serve.__signature__ = _serve_signature()  # type: ignore[attr-defined]


def demo(
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Keep the broker's data here."),
    ] = None,
    durability: Annotated[
        Durability, typer.Option("--durability", help="What an acknowledgement means.")
    ] = Durability.FSYNC,
    events: Annotated[
        int | None, typer.Option("--events", min=1, help="Only the first so many of 650,000.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the processes' logs and say where they are.")
    ] = False,
    json_output: Json = False,
) -> int:
    """See 650,000 real events survive a killed broker."""
    from headrace.cli.demo.command import run

    return run(
        json_output=json_output, durability=durability.value, data=data, events=events, keep=keep
    )
