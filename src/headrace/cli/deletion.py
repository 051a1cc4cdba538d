"""What `topic delete` and `group delete` have in common: each name succeeds or fails alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.cli.connection import Connection
from headrace.cli.failure import Exit, Failure, also
from headrace.cli.output import print_json

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["report_deleted"]


def report_deleted(
    connection: Connection, kind: str, futures: "Mapping[str, Future[None]]", *, json_output: bool
) -> Exit:
    """Wait for each deletion and tell how it ended. `kind` is what the names are: topic, group."""
    code = Exit.OK
    for name, future in futures.items():
        try:
            connection.wait(future, f"delete {kind} {name}")
        except Failure as failure:
            code = also(failure)
            continue
        if json_output:
            print_json({kind: name, "deleted": True})
        else:
            print(f"deleted {kind} {name}")
    return code
