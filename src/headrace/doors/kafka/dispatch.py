"""From a request's header to its handler, and from the handler's message to a frame.

What must not enter: sockets, order, the hot APIs (`connection` calls those itself).
"""

import struct
from typing import Any, Final

from headrace.broker.fetch import Slice
from headrace.doors.kafka.api import Api, WithRecords
from headrace.doors.kafka.registry import apis
from headrace.wire import schema
from headrace.wire.apis import ApiKey, response_header_version
from headrace.wire.errors import MalformedError
from headrace.wire.header import RequestHead
from headrace.wire.share_fetch import write_share_fetch

__all__ = ["decode_request", "encode_response", "encode_with_records", "find_api"]

_FRAME_HEAD: Final = struct.Struct(">ii")


def find_api(head: RequestHead) -> Api:
    """The handler of this request; ApiVersions is asked also in a version that is yet to come
    (KIP-511). Raises MalformedError when there is none, which closes the connection as Kafka
    does."""
    api = apis().get(head.api_key)
    if api is None:
        raise MalformedError(f"API key {head.api_key} is not served")
    first, last = api.versions
    is_from_the_future = head.api_version > last and head.api_key == ApiKey.API_VERSIONS
    if not first <= head.api_version <= last and not is_from_the_future:
        raise MalformedError(f"{api.key.name} version {head.api_version} is not served")
    return api


def decode_request(api: Api, head: RequestHead, frame: memoryview) -> Any:
    """The request message, detached from the buffer. Raises MalformedError."""
    if head.api_key == ApiKey.API_VERSIONS and head.api_version > api.versions[1]:
        return api.request()
    # Bytes after the message are overlooked, as Kafka does: librdkafka (2.16 at least) leaves
    # three there when it asks for the metadata of all topics in version 13.
    return schema.decode(api.request, head.api_version, frame, head.body, trailing=True)


def encode_response(api: Api, head: RequestHead, response: Any) -> bytes:
    """The response frame, length prefix included."""
    version = head.api_version
    if api.key == ApiKey.API_VERSIONS and version > api.versions[1]:
        version = 0
    body = schema.encode(response, version)
    tags = b"\0" if response_header_version(api.key, version) else b""
    return _FRAME_HEAD.pack(4 + len(tags) + len(body), head.correlation_id) + tags + body


def encode_with_records(head: RequestHead, answer: WithRecords) -> list[bytes | Slice]:
    """The response frame in parts; slices in it must be released by the sender."""
    sizes = [sum(piece.size_bytes for piece in pieces) for pieces in answer.records]
    written = write_share_fetch(answer.message, sizes, head.correlation_id)
    parts: list[bytes | Slice] = [written[0]]
    for pieces, following in zip(answer.records, written[1:], strict=True):
        parts += pieces
        parts.append(following)
    return parts
