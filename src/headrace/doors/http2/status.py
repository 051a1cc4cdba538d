"""How a call ends (gRPC over HTTP/2, "Responses"), and how long it may take ("Requests").

What must not enter: streams.
"""

from enum import IntEnum
from typing import Final

__all__ = ["GrpcError", "Status", "encode_message", "read_timeout"]

MESSAGE_BYTES_MAX: Final = 2048
"""Of grpc-message, encoded: with it trailers fit in one frame of any peer."""
TIMEOUT_DIGITS_MAX: Final = 8

_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Status(IntEnum):
    """grpc-status."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class GrpcError(Exception):
    """A call that ends with something else than OK; the message is for the client."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(f"{status.name}: {message}")
        self.status = status
        self.message = message


def encode_message(text: str) -> bytes:
    """Percent-encoded UTF-8: printable ASCII but the percent sign stands for itself."""
    out = bytearray()
    for byte in text.encode("utf-8", "replace"):
        piece = b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        if len(out) + len(piece) > MESSAGE_BYTES_MAX:
            break
        out += piece
    return bytes(out)


def read_timeout(text: str) -> float:
    """grpc-timeout in seconds. Raises ValueError."""
    digits, unit = text[:-1], text[-1:]
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= TIMEOUT_DIGITS_MAX
    if not is_number or unit not in _UNITS_S:
        raise ValueError(f'grpc-timeout "{text[:40]}" is not 1 to 8 digits and one of HMSmun')
    return int(digits) * _UNITS_S[unit]
