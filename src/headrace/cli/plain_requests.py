"""Requests for which the published client has no words, one at a time over a plain connection.

librdkafka's admin client knows no share groups (2.16). All that it does know goes through it
(`connection`). What must not enter: records, retries, encryption.
"""

import socket
import struct
from typing import TYPE_CHECKING, Final, TypeVar

from headrace.cli.failure import Failure
from headrace.wire import schema
from headrace.wire.apis import is_flexible, response_header_version
from headrace.wire.errors import MalformedError
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["UNSUPPORTED", "PlainRequests"]

T = TypeVar("T")

UNSUPPORTED: Final = "UNSUPPORTED_VERSION"
"""The reason of a Failure: the broker does not serve the request."""

_CLIENT_ID: Final = b"headrace-cli"
_HEAD: Final = struct.Struct(">ihhih")


class PlainRequests:
    """One connection to one broker; close it by leaving its `with`. Raises Failure."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.where = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
            self._socket.settimeout(timeout_s)
        except OSError as error:
            raise self._gone(error) from None
        self._asked = 0
        try:
            served = self._ask(ApiVersionsRequest(), ApiVersionsResponse, 0)
        except Failure:
            self._socket.close()
            raise
        self._served = {api.api_key: api for api in served.api_keys}

    def __enter__(self) -> "PlainRequests":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        self._socket.close()

    def ask(self, request: object, answer: type[T], *, version_min: int = 0) -> T:
        """The broker's answer, in the newest version that both know.

        Raises Failure, with reason UNSUPPORTED if there is none from `version_min` on.
        """
        served = self._served.get(schema.api_key_of(type(request)))
        known = schema.versions_of(type(request))
        version = min(known[-1], served.max_version) if served else -1
        least = max(known[0], version_min, served.min_version if served else 0)
        if version < least:
            what = type(request).__name__.removesuffix("Request")
            raise Failure(f"{self.where} does not serve {what}", reason=UNSUPPORTED)
        return self._ask(request, answer, version)

    def _ask(self, request: object, answer: type[T], version: int) -> T:
        key = schema.api_key_of(type(request))
        self._asked += 1
        body = schema.encode(request, version)
        tags = b"\0" if is_flexible(key, version) else b""
        size = _HEAD.size - 4 + len(_CLIENT_ID) + len(tags) + len(body)
        head = _HEAD.pack(size, key, version, self._asked, len(_CLIENT_ID))
        try:
            self._socket.sendall(head + _CLIENT_ID + tags + body)
            size, correlation_id = struct.unpack(">ii", self._receive(8))
            if correlation_id != self._asked or not 4 <= size <= schema.MESSAGE_BYTES_MAX:
                raise MalformedError("that is no answer")
            frame = self._receive(size - 4)
            return schema.decode(answer, version, frame, response_header_version(key, version))
        except (OSError, MalformedError) as error:
            raise self._gone(error) from None

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            piece = self._socket.recv(size - len(received))
            if not piece:
                raise ConnectionError("the connection was closed")
            received += piece
        return bytes(received)

    def _gone(self, error: Exception) -> Failure:
        return Failure(f"{self.where}: {error}")
