"""Answers in the order of their requests, straight into the socket.

Every request that wants an answer reserves a slot; a slot may be filled in any order, the bytes
leave in order. Records leave straight from their segment's file (`slices`); but a few are read and
sent together with what is around them, since every send wakes the peer up.
What must not enter: what a request meant.
"""

import socket
from collections import deque
from collections.abc import Iterable
from typing import Final

from headrace.broker.fetch import Slice
from headrace.doors.kafka.slices import SendSlice, read_whole, send_file

__all__ = ["Outbox", "Part", "Slot"]

PIECES_PER_SEND_MAX: Final = 64
"""Well below IOV_MAX (1,024)."""
GATHERED_BYTES_MAX: Final = 64 * 1024
"""Records are read to be sent together with other pieces while all of those have no more."""
SLOTS_MAX: Final = 256
"""Requests whose answers are outstanding; more are not read until some have left."""
WAITING_BYTES_MAX: Final = 1 << 20
"""Answer bytes that the peer has not taken yet; beyond it no more requests are read."""
WAITING_PARTS_MAX: Final = 1024
"""The same in pieces: records in their files are no bytes here, but each piece costs memory."""

Part = bytes | Slice

_MORE_FOLLOWS: Final = getattr(socket, "MSG_MORE", 0)
"""Keeps the kernel from sending the head of an answer as a packet of its own (Linux)."""


class Slot:
    """The place of one answer; `parts` is None until it is known."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[Part] | None = None


class Outbox:
    """The sending half of one connection."""

    __slots__ = (
        "_bytes_waiting",
        "_parts",
        "_send_from_file",
        "_slots",
        "_socket",
    )

    def __init__(self, connected: socket.socket, send_from_file: SendSlice = send_file) -> None:
        self._socket = connected
        self._send_from_file = send_from_file
        self._slots: deque[Slot] = deque()
        self._parts: deque[Part | memoryview] = deque()
        self._bytes_waiting = 0

    def reserve(self) -> Slot:
        slot = Slot()
        self._slots.append(slot)
        return slot

    def has_room(self) -> bool:
        return (
            len(self._slots) < SLOTS_MAX
            and self._bytes_waiting < WAITING_BYTES_MAX
            and len(self._parts) < WAITING_PARTS_MAX
        )

    def outstanding(self) -> int:
        """Requests whose answers have not left."""
        return len(self._slots)

    def is_ready(self) -> bool:
        """Whether there is something to send."""
        return bool(self._parts) or (bool(self._slots) and self._slots[0].parts is not None)

    def is_empty(self) -> bool:
        return not self._slots and not self._parts

    def flush(self) -> bool:
        """Send what is ready; False when the socket is full and must become writable first.

        Raises OSError when the connection is gone.
        """
        slots = self._slots
        parts = self._parts
        while slots and slots[0].parts is not None:
            for part in slots.popleft().parts or ():
                if isinstance(part, Slice):
                    parts.append(part)
                elif part:
                    parts.append(part)
                    self._bytes_waiting += len(part)
        while parts:
            first = parts[0]
            try:
                if isinstance(first, Slice) and first.size_bytes > GATHERED_BYTES_MAX:
                    self._send_slice(first)
                else:
                    self._send_bytes()
            except BlockingIOError:
                return False
        return True

    def _send_bytes(self) -> None:
        parts = self._parts
        pieces, more_follows = self._gather()
        flags = _MORE_FOLLOWS if more_follows else 0
        if len(pieces) == 1:
            sent = self._socket.send(pieces[0], flags)
        else:
            sent = self._socket.sendmsg(pieces, (), flags)
        self._bytes_waiting -= sent
        for piece in pieces:
            if sent < len(piece):
                parts[0] = memoryview(piece)[sent:]
                break
            sent -= len(piece)
            parts.popleft()

    def _gather(self) -> tuple[list[bytes | memoryview], bool]:
        """What the next send takes, at least one piece, and whether records follow at once that
        go by themselves. Small slices among them become bytes."""
        parts = self._parts
        pieces: list[bytes | memoryview] = []
        size_bytes = 0
        for place in range(min(len(parts), PIECES_PER_SEND_MAX)):
            part = parts[place]
            if isinstance(part, Slice):
                if size_bytes + part.size_bytes > GATHERED_BYTES_MAX:
                    return pieces, True
                data = read_whole(part)
                parts[place] = data
                part.release()
                self._bytes_waiting += len(data)
                part = data
            pieces.append(part)
            size_bytes += len(part)
        return pieces, False

    def _send_slice(self, part: Slice) -> None:
        sent = self._send_from_file(self._socket, part)
        if sent < part.size_bytes:
            self._parts[0] = part._replace(
                position=part.position + sent, size_bytes=part.size_bytes - sent
            )
        else:
            self._parts.popleft()
            part.release()

    def close(self) -> None:
        """Let go of every file that was still to be sent."""
        for slot in self._slots:
            self.let_go(slot.parts or ())
        self.let_go(self._parts)
        self._slots.clear()
        self._parts.clear()
        self._bytes_waiting = 0

    @staticmethod
    def let_go(parts: Iterable[Part | memoryview]) -> None:
        """Release the slices of an answer that nobody will read."""
        for part in parts:
            if isinstance(part, Slice):
                part.release()
