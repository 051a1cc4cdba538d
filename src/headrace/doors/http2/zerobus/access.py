"""On which table a Zerobus stream is: what a call's header says, and its first message.

    x-databricks-zerobus-table-name    the table; a stream must not name another one

What must not enter: who may open a stream (`doors.http2.bearer`).
"""

from typing import Final

from headrace.doors.http2.call import Call
from headrace.doors.http2.status import GrpcError, Status

__all__ = ["TABLE_HEADER", "check_table"]

TABLE_HEADER: Final = "x-databricks-zerobus-table-name"


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
