"""Options and errors of commands that open a data directory themselves.

What must not enter: what they do with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.failure import Failure, note

if TYPE_CHECKING:
    from headrace.server.offline import DataDirectory, PartitionPlace

__all__ = ["Data", "Partitions", "chosen", "opened"]

DATA_DEFAULT = Path("headrace-data")

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="HEADRACE_DATA",
        help="Data directory, which no broker may hold (default ./headrace-data).",
    ),
]
Partitions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TOPIC[/PARTITION]]...", help="By name or id (default: all)."),
]


@contextmanager
def opened(data: Path | None) -> "Iterator[DataDirectory]":
    """The data directory, locked. Raises Failure, also for what the disk does not give."""
    from headrace.server.offline import DataDirectory, DataDirectoryInUse, NotADataDirectory

    try:
        with DataDirectory(str(data or DATA_DEFAULT)) as directory:
            for text in directory.notes:
                note(text)
            yield directory
    except (NotADataDirectory, DataDirectoryInUse) as error:
        raise Failure(str(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Failure(f"{where}{error.strerror or error}") from error


def chosen(directory: "DataDirectory", wanted: list[str] | None) -> "list[PartitionPlace]":
    """Raises Failure for a partition that is not there."""
    try:
        return directory.partitions(wanted or ())
    except KeyError as error:
        raise Failure(f"{directory.path} has no topic or partition {error}") from error
