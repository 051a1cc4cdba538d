"""Options that several commands share, so that they are spelled and explained once.

What must not enter: options of one command.
"""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Final

import typer

from headrace.cli.completion import group_names, topic_names
from headrace.cli.connection import BOOTSTRAP_DEFAULT, TIMEOUT_DEFAULT_S, Connection
from headrace.cli.failure import Exit, Failure

__all__ = [
    "Group",
    "Groups",
    "Json",
    "Topic",
    "Topics",
    "Yes",
    "command_group",
    "confirm",
    "name_values",
    "with_connection",
]

_TOPIC: Final = typer.Argument(metavar="TOPIC", autocompletion=topic_names)
_GROUP: Final = typer.Argument(metavar="GROUP", autocompletion=group_names)
Topic = Annotated[str, _TOPIC]
Topics = Annotated[list[str], _TOPIC]
Group = Annotated[str, _GROUP]
Groups = Annotated[list[str], _GROUP]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object a line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, do it.")]

_Bootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap",
        "-b",
        metavar="HOST:PORT[,...]",
        envvar="HEADRACE_BOOTSTRAP",
        help="Kafka broker to talk to.",
    ),
]
_Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long the broker may take."),
]
_Properties = Annotated[
    list[str] | None,
    typer.Option(
        "-X",
        metavar="KEY=VALUE",
        help="A librdkafka property, such as security.protocol=ssl (repeatable).",
    ),
]

_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY
_CONNECTION: Final = (
    inspect.Parameter("bootstrap", _KEYWORD, default=BOOTSTRAP_DEFAULT, annotation=_Bootstrap),
    inspect.Parameter("timeout", _KEYWORD, default=TIMEOUT_DEFAULT_S, annotation=_Timeout),
    inspect.Parameter("properties", _KEYWORD, default=None, annotation=_Properties),
)


def with_connection(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Make the first parameter of `command`, its Connection, of `--bootstrap` and its like."""
    signature = inspect.signature(command)
    _, *own = signature.parameters.values()

    @wraps(command)
    def run(
        *, bootstrap: str, timeout: float, properties: list[str] | None, **options: Any
    ) -> int | None:
        return command(Connection(bootstrap, timeout, properties), **options)

    keyword_only = [parameter.replace(kind=_KEYWORD) for parameter in own]
    signature = signature.replace(parameters=[*keyword_only, *_CONNECTION])
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def command_group(about: str) -> typer.Typer:
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)


def confirm(question: str, yes: bool) -> None:
    """Go on only if a person says so. Raises Failure; a script has to say --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(f"{question} Nobody is there to answer: add --yes", Exit.USAGE)
    if not typer.confirm(question, err=True):
        raise Failure("nothing was changed")


def name_values(texts: list[str] | None, option: str) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary. Raises Failure (USAGE)."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise Failure(f'{option}: expected NAME=VALUE, got "{text}"', Exit.USAGE)
        pairs[name.strip()] = value
    return pairs
