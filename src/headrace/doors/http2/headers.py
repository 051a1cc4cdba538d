"""Header blocks: put together from frames, decoded, and held against RFC 9113 section 8.

HPACK itself (RFC 7541) is the `hpack` library's. A block's table lives as long as its connection,
so every block is decoded, even one whose stream nobody wants; one that cannot be, or is larger
than anybody needs, ends the connection.
What must not enter: gRPC.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from hpack import Decoder, Encoder, HPACKError, OversizedHeaderListError

from headrace.doors.http2.frames import (
    END_HEADERS,
    HAS_PRIORITY,
    PADDED,
    ConnectionFault,
    ErrorCode,
    StreamFault,
)
from headrace.doors.http2.limits import GrpcLimits

__all__ = [
    "HeaderReader",
    "HeaderWriter",
    "Headers",
    "check_request",
    "check_trailers",
    "list_bytes",
]

Headers = list[tuple[bytes, bytes]]
"""Names in lower case; pseudo-headers first."""

TABLE_BYTES_MAX: Final = 4096
FIELD_OVERHEAD_BYTES: Final = 32
"""What a field counts beside its bytes (RFC 9113 section 6.5.2)."""

_PRIORITY_BYTES: Final = 5
_REQUIRED: Final = (b":method", b":scheme", b":path")
_PSEUDO: Final = frozenset((*_REQUIRED, b":authority"))
_OF_HTTP_1: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)


class HeaderReader:
    """The blocks that one connection receives."""

    __slots__ = ("_block", "_continuations", "_decoder", "_limits", "flags", "stream_id")

    def __init__(self, limits: GrpcLimits) -> None:
        self.stream_id = 0
        """Whose block is being received; 0: none."""
        self.flags = 0
        """Of its HEADERS frame."""
        self._limits = limits
        self._block = bytearray()
        self._continuations = 0
        self._decoder = Decoder(limits.header_block_bytes_max)

    def begin(self, flags: int, stream_id: int, payload: memoryview) -> Headers | None:
        """A HEADERS frame; the headers, if they are complete. Raises ConnectionFault."""
        padding = 0
        if flags & PADDED:
            if not payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padding without its length")
            padding = payload[0]
            payload = payload[1:]
        if flags & HAS_PRIORITY:
            if len(payload) < _PRIORITY_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a priority is cut short")
            payload = payload[_PRIORITY_BYTES:]
        if padding > len(payload):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
        self._block = bytearray(payload[: len(payload) - padding])
        self._continuations = 0
        self.stream_id = stream_id
        self.flags = flags
        return self._end() if flags & END_HEADERS else None

    def go_on(self, flags: int, stream_id: int, payload: memoryview) -> Headers | None:
        """A CONTINUATION frame (section 6.10); as `begin`."""
        if stream_id != self.stream_id or not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._continuations += 1
        self._block += payload
        if (
            self._continuations > self._limits.continuations_max
            or len(self._block) > self._limits.header_block_bytes_max
        ):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")
        return self._end() if flags & END_HEADERS else None

    def _end(self) -> Headers:
        self.stream_id = 0
        block, self._block = bytes(self._block), bytearray()
        try:
            return [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"headers of more than {self._limits.header_block_bytes_max} bytes",
            ) from None
        except (HPACKError, IndexError, ValueError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"headers: {error}") from None


class HeaderWriter:
    """The blocks that one connection sends. Ours are few and small, so the table is used."""

    __slots__ = ("_encoder",)

    def __init__(self) -> None:
        self._encoder = Encoder()

    def encode(self, headers: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
        return self._encoder.encode(headers)

    def table_size(self, size_bytes: int) -> None:
        """SETTINGS_HEADER_TABLE_SIZE of the peer."""
        self._encoder.header_table_size = min(size_bytes, TABLE_BYTES_MAX)


def list_bytes(headers: Headers) -> int:
    """The size that SETTINGS_MAX_HEADER_LIST_SIZE bounds."""
    return sum(len(name) + len(value) + FIELD_OVERHEAD_BYTES for name, value in headers)


def check_request(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises StreamFault for a request that is malformed (sections 8.1.1, 8.2 and 8.3)."""
    seen: set[bytes] = set()
    in_pseudo = True
    for name, value in headers:
        if name.startswith(b":"):
            if not in_pseudo or name in seen or name not in _PSEUDO:
                raise _malformed(f"{name!r} is not allowed there")
            if not _is_visible(value):
                raise _malformed(f"{name.decode()} has bytes that no URI has")
            seen.add(name)
        else:
            in_pseudo = False
            _check_field(name, value)
    for name in _REQUIRED:
        if name not in seen:
            raise _malformed(f"no {name.decode()}")


def check_trailers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises StreamFault for trailers that are malformed (section 8.1)."""
    for name, value in headers:
        if name.startswith(b":"):
            raise _malformed("a pseudo-header in trailers")
        _check_field(name, value)


def _check_field(name: bytes, value: bytes) -> None:
    if not name or name.lower() != name or not _is_visible(name):
        raise _malformed(f"a field cannot be called {name[:40]!r}")
    if name in _OF_HTTP_1 or (name == b"te" and value != b"trailers"):
        raise _malformed(f"{name.decode()} does not exist in HTTP/2")
    if b"\0" in value or b"\n" in value or b"\r" in value:
        raise _malformed(f"{name.decode()} has control characters")


def _is_visible(text: bytes) -> bool:
    """ASCII without blanks and control characters."""
    return all(0x20 < byte < 0x7F for byte in text)


def _malformed(why: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, f"a malformed request: {why}")
