"""HTTP/2 frames (RFC 9113 sections 4, 6 and 7): their numbers, their faults, the ones we send.

    byte 0-2   length of the payload
    byte 3     type
    byte 4     flags
    byte 5-8   a reserved bit, stream id (0: the connection)

What must not enter: state.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "FRAME_BYTES_DEFAULT",
    "FRAME_BYTES_TOP",
    "FRAME_HEAD",
    "FRAME_HEAD_BYTES",
    "GOAWAY",
    "HAS_PRIORITY",
    "HEADERS",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "STREAM_ID_MAX",
    "WINDOW_BYTES_INITIAL",
    "WINDOW_BYTES_MAX",
    "WINDOW_UPDATE",
    "ConnectionFault",
    "ErrorCode",
    "Setting",
    "StreamFault",
    "frame",
    "goaway",
    "rst_stream",
    "settings",
    "window_update",
]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its first frame (section 3.4)."""
FRAME_HEAD: Final = struct.Struct(">IBI")
"""Length and type in one number (`length << 8 | type`), flags, stream id."""
FRAME_HEAD_BYTES: Final = 9
STREAM_ID_MAX: Final = (1 << 31) - 1
WINDOW_BYTES_MAX: Final = (1 << 31) - 1
"""Section 6.9.1."""
WINDOW_BYTES_INITIAL: Final = 65_535
"""Of a connection always, of a stream until SETTINGS say otherwise (section 6.9.2)."""
FRAME_BYTES_DEFAULT: Final = 16_384
"""Payload that every peer accepts (section 4.2)."""
FRAME_BYTES_TOP: Final = (1 << 24) - 1

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

_U32: Final = struct.Struct(">I")


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """Section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ConnectionFault(Exception):
    """The peer broke a rule that all its streams stand on: the connection ends (section 5.4.1)."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(f"{code.name}: {why}")
        self.code = code
        self.why = why


class StreamFault(Exception):
    """The peer broke a rule of one stream, which is reset (section 5.4.2)."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(f"{code.name}: {why}")
        self.code = code
        self.why = why


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return FRAME_HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: Mapping[Setting, int]) -> bytes:
    payload = b"".join(struct.pack(">HI", key, value) for key, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def window_update(stream_id: int, size_bytes: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _U32.pack(size_bytes))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _U32.pack(code))


def goaway(last_stream_id: int, code: ErrorCode, why: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream_id, code) + why.encode())
