"""A gRPC call as its handler sees it, of whatever kind: unary, or streaming on either side.

A handler is made when the call opens, is told what arrives in batches, and answers through the
call at any time. It runs on the connection's thread and must not block; one that is behind says
`pause`, and from then on its client's window is not widened. What must not enter: frames.
"""

import binascii
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from headrace.doors.http2.messages import Messages, prefixed
from headrace.doors.http2.status import Status

if TYPE_CHECKING:
    from headrace.doors.http2.grpc import GrpcConnection
    from headrace.doors.http2.headers import Headers
    from headrace.doors.http2.stream import Stream

__all__ = ["Call", "Handler", "Metadata", "Method"]

Metadata = Sequence[tuple[str, str]]
"""ASCII, names in lower case; of names that end in -bin the value is base64."""


class Handler:
    """What a call's server does on what happens. Whatever it raises ends the call: GrpcError with
    its status, anything else with INTERNAL, and is logged."""

    def on_messages(self, messages: Messages) -> None:
        """All messages that a read completed, at least one, in order."""

    def on_end(self) -> None:
        """The client sends no more messages; it waits for the rest of the answer."""

    def on_room(self) -> None:
        """What was sent has left, as far as `Call.has_room` is true again."""

    def on_drain(self) -> None:
        """The server wants to stop soon: a chance to end the call in a way the client knows."""

    def on_cancel(self, why: str) -> None:
        """The call is over, not by `Call.finish`: nobody will read what is sent from now on."""


class Method(NamedTuple):
    """What a path leads to."""

    start: Callable[["Call"], Handler]
    """Called when a call opens; may raise GrpcError or finish the call at once."""
    answers_at_once: bool = True
    """Response headers leave as soon as `start` is through, before any message has come. There are
    clients of streams that send nothing until they see them."""


class Call:
    """Made by the connection; handlers use what is public here."""

    __slots__ = (
        "_connection",
        "_headers",
        "deadline",
        "handler",
        "has_responded",
        "is_end_told",
        "is_known",
        "is_open",
        "is_paused",
        "needed_bytes",
        "path",
        "stream",
    )

    def __init__(
        self, connection: "GrpcConnection", stream: "Stream", path: str, headers: "Headers"
    ) -> None:
        self.path = path
        self.deadline: float | None = None
        """On the connection's clock, seconds."""
        self.is_open = True
        """Nothing has ended it yet."""
        self.is_paused = False
        self._connection = connection
        self._headers = headers
        # For the connection
        self.stream = stream
        self.handler = Handler()
        self.is_known = False
        """Its path leads somewhere."""
        self.has_responded = False
        self.is_end_told = False
        self.needed_bytes = 0

    @property
    def peer(self) -> str:
        """HOST:PORT of the client."""
        return self._connection.peer

    def metadata(self, name: str) -> str | None:
        """A request header; several of one name are joined by commas."""
        wanted = name.encode()
        found = [value for key, value in self._headers if key == wanted]
        return b",".join(found).decode("utf-8", "replace") if found else None

    def metadata_bytes(self, name: str) -> bytes | None:
        """A request header whose name ends in -bin. Raises ValueError if it is not base64."""
        text = self.metadata(name)
        if text is None:
            return None
        try:
            return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
        except binascii.Error as error:
            raise ValueError(f"{name} is not base64: {error}") from None

    def respond(self, metadata: Metadata = ()) -> None:
        """Send response headers now, with `metadata`. Nothing if they have left."""
        self._connection.respond(self, metadata)

    def send(self, messages: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send messages, which are copied. On a call that is over they are dropped."""
        if self.is_open:
            self._connection.send(self, prefixed(messages))

    @property
    def has_room(self) -> bool:
        """Whether the client keeps up; `Handler.on_room` says when it does again. A call that goes
        on without is ended at `unsent_bytes_max`."""
        return len(self.stream.unsent) < self._connection.limits.unsent_bytes_room

    def finish(
        self, status: Status = Status.OK, message: str = "", metadata: Metadata = ()
    ) -> None:
        """End the call after what was sent. Nothing on one that is over."""
        self._connection.finish(self, status, message, metadata)

    def ends_on_error(self) -> AbstractContextManager[None]:
        """For what a handler does later: what is raised inside ends the call, as in a handler."""
        return self._connection.guard(self)

    def pause(self) -> None:
        """Take no more messages; what arrives waits, and its bytes are missing from the window."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on after `pause`; what waited comes in one batch, before this returns."""
        if self.is_paused:
            self.is_paused = False
            self._connection.resume(self)
