"""Who may open a stream, and on which table: what a call's headers say.

    authorization                      Bearer TOKEN
    x-databricks-zerobus-table-name    the table; a stream must not name another one

A client may send neither: whether a token is asked for is the broker's matter, and the table stands
in the first message too. What must not enter: how tokens are made.
"""

from typing import TYPE_CHECKING, Final

from headrace.doors.http2.call import Call
from headrace.doors.http2.status import GrpcError, Status

if TYPE_CHECKING:
    from headrace.broker.tokens import Tokens

__all__ = ["TABLE_HEADER", "check_table", "check_token"]

TABLE_HEADER: Final = "x-databricks-zerobus-table-name"
_SCHEME: Final = "bearer "


def check_token(tokens: "Tokens", call: Call) -> None:
    """Raises GrpcError UNAUTHENTICATED."""
    said = call.metadata("authorization") or ""
    token = said[len(_SCHEME) :] if said[: len(_SCHEME)].lower() == _SCHEME else ""
    if not tokens.accepts(token.strip()):
        why = "the token is not one of ours, or its time is over" if token else "a token is needed"
        raise GrpcError(Status.UNAUTHENTICATED, f"{why} (POST /oidc/v1/token)")


def check_table(call: Call, table_name: str) -> str:
    """The table, from the message or else the header. Raises GrpcError INVALID_ARGUMENT."""
    header = call.metadata(TABLE_HEADER)
    if not table_name and not header:
        raise GrpcError(Status.INVALID_ARGUMENT, "the stream names no table")
    if table_name and header and table_name != header:
        raise GrpcError(
            Status.INVALID_ARGUMENT,
            f"the stream is for {table_name[:80]!r}, its header {TABLE_HEADER} says "
            f"{header[:80]!r}",
        )
    return table_name or header or ""
