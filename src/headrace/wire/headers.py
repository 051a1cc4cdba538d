"""What stands before every request and response.

    request   api_key i16, api_version i16, correlation_id i32, client_id string (v1),
              then tagged fields when the request is flexible (v2)
    response  correlation_id i32 (v0), then tagged fields when the response is flexible (v1)

`client_id` keeps its int16 length in flexible requests too, so that a broker can read it before it
knows the version (KIP-482). Written by hand, not declared: every request passes through here.
"""

import struct
from typing import Final, NamedTuple

from headrace.wire.apis import FIRST_FLEXIBLE, is_flexible, response_header_version
from headrace.wire.errors import MalformedError
from headrace.wire.primitives import skip_tagged, string_writer

__all__ = [
    "RequestHeader",
    "decode_request_header",
    "decode_response_header",
    "encode_request_header",
    "encode_response_header",
]

_FIXED: Final = struct.Struct(">hhih")
_CORRELATION: Final = struct.Struct(">i")
_write_legacy_string: Final = string_writer(compact=False, nullable=True)


class RequestHeader(NamedTuple):
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None


def decode_request_header(view: bytes | memoryview) -> tuple[RequestHeader, int]:
    """The header at the start of `view`, and the position of the request behind it.

    For an API key that `wire.apis` does not list the position is that behind `client_id`: whether
    tagged fields follow is not known, and neither is the request. Raises MalformedError.
    """
    try:
        api_key, api_version, correlation_id, length = _FIXED.unpack_from(view)
        client_id = None
        position = _FIXED.size
        if length >= 0:
            end = position + length
            encoded = bytes(view[position:end])
            if len(encoded) != length:
                raise MalformedError(f"client_id has {length} bytes; {len(encoded)} are left")
            client_id = encoded.decode()
            position = end
        elif length != -1:
            raise MalformedError(f"client_id has length {length}")
        if api_key in FIRST_FLEXIBLE and is_flexible(api_key, api_version):
            if view[position] == 0:  # as good as always
                position += 1
            else:
                position = skip_tagged(bytes(view), position)
    except (struct.error, IndexError) as error:
        raise MalformedError("a request header ends too early") from error
    except UnicodeDecodeError as error:
        raise MalformedError("client_id is not UTF-8") from error
    return RequestHeader(api_key, api_version, correlation_id, client_id), position


def encode_request_header(header: RequestHeader) -> bytes:
    """For clients: what decode_request_header reads."""
    out = bytearray(struct.pack(">hhi", header.api_key, header.api_version, header.correlation_id))
    _write_legacy_string(out, header.client_id)
    if is_flexible(header.api_key, header.api_version):
        out.append(0)
    return bytes(out)


def encode_response_header(api_key: int, api_version: int, correlation_id: int) -> bytes:
    """Four bytes, or five when the response is flexible."""
    encoded = _CORRELATION.pack(correlation_id)
    return encoded + b"\0" if response_header_version(api_key, api_version) else encoded


def decode_response_header(
    api_key: int, api_version: int, view: bytes | memoryview
) -> tuple[int, int]:
    """For clients: (correlation id, position of the response). Raises MalformedError."""
    try:
        (correlation_id,) = _CORRELATION.unpack_from(view)
        position = _CORRELATION.size
        if response_header_version(api_key, api_version):
            position = skip_tagged(bytes(view), position)
    except (struct.error, IndexError) as error:
        raise MalformedError("a response header ends too early") from error
    return correlation_id, position
