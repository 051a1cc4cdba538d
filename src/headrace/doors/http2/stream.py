"""One HTTP/2 stream: its two windows, what came and was not taken, what is to leave.

What must not enter: rules; `connection` and `sending` keep them.
"""

from typing import Any

from headrace.doors.http2.headers import Headers

__all__ = ["Stream"]


class Stream:
    """Made by its connection when the client opens it (RFC 9113 section 5.1).

    States of the section, in two flags: open, half-closed (remote) once `is_remote_closed`, closed
    once `is_closed`. We are never half-closed (local): a client that still talks when the answer
    is complete is told so with RST_STREAM(NO_ERROR) (section 8.1).
    """

    __slots__ = (
        "held_bytes",
        "id",
        "is_closed",
        "is_remote_closed",
        "is_unwanted",
        "owner",
        "receive_window",
        "received",
        "send_window",
        "trailers",
        "unsent",
    )

    def __init__(self, id_: int, receive_window: int, send_window: int) -> None:
        self.id = id_
        self.received = bytearray()
        """Content that its owner has not taken. Take it by putting another in its place."""
        self.receive_window = receive_window
        """Bytes that the client may still send; frames count when they begin."""
        self.send_window = send_window
        """Bytes that the client will still take; negative after it made its windows smaller."""
        self.unsent = bytearray()
        self.trailers: Headers | None = None
        """What follows `unsent` and ends the stream."""
        self.held_bytes = 0
        """What the receive budget knows of."""
        self.is_remote_closed = False
        self.is_closed = False
        self.is_unwanted = False
        """Closed, or the answer is complete: what still comes is dropped."""
        self.owner: Any = None
        """Whoever made something of it."""
