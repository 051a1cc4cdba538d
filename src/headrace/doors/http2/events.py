"""What a connection tells after a read: about streams, never about frames."""

from typing import NamedTuple

from headrace.doors.http2.frames import ErrorCode
from headrace.doors.http2.headers import Headers
from headrace.doors.http2.stream import Stream

__all__ = ["Arrived", "Cancelled", "Event", "Opened"]


class Opened(NamedTuple):
    """A client opened a stream with these well-formed request headers."""

    stream: Stream
    headers: Headers
    is_oversized: bool
    """They are larger than SETTINGS_MAX_HEADER_LIST_SIZE said."""


class Arrived(NamedTuple):
    """`stream.received` grew, or `is_remote_closed` became true: once for each read."""

    stream: Stream


class Cancelled(NamedTuple):
    """The stream ended before its answer: reset by the client, for a fault, or with all others."""

    stream: Stream
    code: ErrorCode
    why: str


Event = Opened | Arrived | Cancelled
