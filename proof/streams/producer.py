"""A producer: one stream after the other, each drained and opened anew when it is asked to close.

What must not enter: HTTP/2, when it is the producer's turn.
"""

from collections import deque
from typing import Final, NamedTuple

from headrace.doors.http2.messages import prefixed
from headrace.wire.protobuf import put_bytes, put_varint
from proof.streams.connection import Connection
from proof.streams.judge import Name, Told

__all__ = ["Counts", "Producer"]

OK: Final = "0"
UNAVAILABLE: Final = "14"
JSON: Final = 2
JSON_ARM: Final = 3
TURN_RECORDS_MAX: Final = 256
"""So that a turn fits into the window that every stream has."""


class _Sent(NamedTuple):
    """Messages of one turn: offsets and record numbers, first and last."""

    offset: int
    offset_last: int
    number: int
    number_last: int


class Counts:
    """Of all producers together."""

    def __init__(self) -> None:
        self.open = 0
        """Streams that are, at this moment."""
        self.openings = 0
        self.close_signals = 0
        self.cut_off = 0
        """Streams that the broker ended, their grace being over."""
        self.resent_records = 0
        self.turns_without_room = 0
        self.problems: list[str] = []


class Producer:
    """A `Listener` of its current stream. `told` has all that it opened."""

    def __init__(self, producer: int, connection: Connection, table: str, counts: Counts) -> None:
        self._producer = producer
        self._connection = connection
        self._counts = counts
        self.told: list[Told] = []
        self.is_done = False
        self._wants_end = False
        self._again = 0
        """Records of the stream before that were not acknowledged."""
        inner = bytearray()
        put_bytes(inner, 1, table.encode())
        put_varint(inner, 4, JSON)
        create = bytearray()
        put_bytes(create, 1, inner)
        self._create = bytes(create)
        self._open()

    def _open(self) -> None:
        self._is_open = self._is_ending = False
        self._offset = self._number = self._acknowledged = 0
        self._flight: deque[_Sent] = deque()
        self._counts.openings += 1
        self._stream = self._connection.open(self, self._create)

    @property
    def name(self) -> Name:
        return Name(self._producer, len(self.told))

    def turn(self, records: int, padding: bytes, *, as_batch: bool) -> None:
        """Send so many new records, if the stream is open and windows allow it."""
        if not self._is_open or self._is_ending:
            return
        again = min(self._again, TURN_RECORDS_MAX)
        records = min(records + again, TURN_RECORDS_MAX)
        if not records:
            return
        content = self._content(records, padding, as_batch=as_batch)
        if not self._connection.has_room(self._stream, len(content)):
            self._counts.turns_without_room += 1
            return
        self._connection.send(self._stream, content)
        messages = 1 if as_batch else records
        self._flight.append(
            _Sent(
                *(self._offset, self._offset + messages - 1),
                *(self._number, self._number + records - 1),
            )
        )
        self._offset += messages
        self._number += records
        self._counts.resent_records += again
        self._again -= again

    def _content(self, records: int, padding: bytes, *, as_batch: bool) -> bytes:
        producer, opening = self.name
        values = [
            b'{"stream":[%d,%d,%d],"x":"%b"}' % (producer, opening, number, padding)
            for number in range(self._number, self._number + records)
        ]
        if as_batch:
            together = bytearray()
            for value in values:
                put_bytes(together, 1, value)
            return prefixed([_ingest(3, self._offset, together)])
        return prefixed(
            [_ingest(2, offset, value) for offset, value in enumerate(values, self._offset)]
        )

    def leave(self) -> None:
        """End the stream of one's own will; another follows."""
        if self._is_open and not self._is_ending:
            self._is_ending = True
            self._connection.end(self._stream)

    def finish(self) -> None:
        """End the stream; it is the last one, if nothing is left to be sent again."""
        self._wants_end = True
        self.turn(0, b"", as_batch=False)
        self.leave()

    # Told by the connection

    def created(self) -> None:
        self._is_open = True
        self._counts.open += 1
        if self._wants_end:
            self.finish()

    def acknowledged(self, up_to: int) -> None:
        if up_to >= self._offset:
            self._counts.problems.append(f"{self.name}: {up_to} acknowledged, never sent")
        while self._flight and self._flight[0].offset <= up_to:
            sent = self._flight[0]
            if up_to < sent.offset_last:
                self._acknowledged = sent.number + up_to - sent.offset + 1
                return
            self._acknowledged = sent.number_last + 1
            self._flight.popleft()

    def close_asked(self) -> None:
        self._counts.close_signals += 1
        self.leave()

    def ended(self, status: str, message: str) -> None:
        self._counts.open -= self._is_open
        if status == UNAVAILABLE:
            self._counts.cut_off += 1
        elif status != OK:
            self._counts.problems.append(f"{self.name} ended with {status}: {message}")
        elif self._acknowledged < self._number:
            missing = self._number - self._acknowledged
            self._counts.problems.append(f"{self.name}: {missing} not acknowledged, and OK")
        self._again += self._number - self._acknowledged
        self.told.append(Told(self._number, self._acknowledged))
        if self._wants_end and not self._again:
            self.is_done = True
        elif status in (OK, UNAVAILABLE):
            self._open()
        else:
            self.is_done = True


def _ingest(arm: int, offset: int, payload: bytes | bytearray) -> bytes:
    """ingest_record (arm 2) or ingest_record_batch (arm 3)."""
    inner = bytearray()
    put_varint(inner, 1, offset)
    put_bytes(inner, JSON_ARM, payload)
    out = bytearray()
    put_bytes(out, arm, inner)
    return bytes(out)
