"""The head of every request frame, read straight from the connection's buffer.

After the 4-byte length, a request begins (Kafka protocol, "Request Header v1 and v2"):

    api_key i16 | api_version i16 | correlation_id i32 | client_id nullable string (i16 length)
    and, from the API's first flexible version on, tagged fields

A response begins with correlation_id i32, and tagged fields where the version has them.
"""

import struct
from typing import Final, NamedTuple

from headrace.wire.apis import FIRST_FLEXIBLE
from headrace.wire.cursor import skip_tagged_fields
from headrace.wire.errors import MalformedError

__all__ = ["RequestHead", "read_request_head"]

_HEAD: Final = struct.Struct(">hhih")
_CLIENT_ID_BYTES_MAX: Final = 1024


class RequestHead(NamedTuple):
    """`body` is the position of the first byte after the header."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body: int


def read_request_head(frame: memoryview) -> RequestHead:
    """The header of `frame` (without its length prefix). Raises MalformedError."""
    try:
        api_key, api_version, correlation_id, client_id_length = _HEAD.unpack_from(frame)
    except struct.error:
        raise MalformedError(f"a request of {len(frame)} bytes has no header") from None
    body = 10
    client_id = None
    if client_id_length >= 0:
        body += client_id_length
        if client_id_length > _CLIENT_ID_BYTES_MAX or body > len(frame):
            raise MalformedError(f"a client id of {client_id_length} bytes")
        client_id = str(frame[10:body], "utf-8", "replace")
    elif client_id_length != -1:
        raise MalformedError(f"a client id of {client_id_length} bytes")
    if api_version >= FIRST_FLEXIBLE.get(api_key, 1 << 15):
        body = skip_tagged_fields(frame, body)
    return RequestHead(api_key, api_version, correlation_id, client_id, body)
