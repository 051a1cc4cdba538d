"""One ingest stream of any kind, as an automaton: what happens to it in, what to do out.

    NEW --first message--> OPENING --opened--> OPEN --end--> ENDING --all durable--> OVER
                                                \\--fault--> ENDING (with its status)

Messages are taken strictly in order, each with the offset that is its turn. An acknowledgement
covers everything up to an offset and leaves when all of that is durable, several at once as one.
A fault stops the taking; what was good before it is still written and acknowledged, so a client
that gets a status knows exactly which of its messages are in the log. While something is in flight
a client hears of it every HEARTBEAT_S at the latest: there are clients that take silence for loss,
and send again. A stream that is to go gets a close signal with a grace, and then UNAVAILABLE.

Pure: no I/O, no clock. How messages look is the `Speech`'s matter. What must not enter: calls,
topics.
"""

from enum import Enum
from typing import Final, NamedTuple, Protocol

from headrace.broker.rejected_records import BadRecord
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.zerobus.flights import Flight, Flights

__all__ = [
    "HEARTBEAT_S",
    "Action",
    "Append",
    "Finish",
    "Intake",
    "Open",
    "Opened",
    "Opening",
    "Record",
    "Send",
    "SetAside",
    "Speech",
    "Taken",
]

HEARTBEAT_S: Final = 10.0
Record = bytes | memoryview


class Opening(NamedTuple):
    """What a client wants to open."""

    table_name: str = ""
    record_type: int = 0
    descriptor_proto: bytes = b""
    avro_schema_json: str = ""
    resumes: str | None = None
    """The id of a stream that goes on."""


class Opened(NamedTuple):
    """What it got."""

    stream_id: str
    committed_offset: int = -1
    """The last that is durable of a stream that goes on."""


class Taken(NamedTuple):
    """What some messages in a row brought."""

    records: list[Record]
    counts: list[int]
    """Of the records, by message: what is rejected is missing."""
    rows: int = 0
    rejected: tuple[BadRecord, ...] = ()
    fault: GrpcError | None = None
    """Why the message after them is not taken, nor any later one."""


class Speech(Protocol):
    """How one kind of stream talks. What raises, raises GrpcError."""

    def read_opening(self, message: memoryview) -> Opening:
        """The first message."""

    def opened(self, opening: Opening, opened: Opened) -> bytes:
        """The answer to it."""

    def take(self, messages: Messages, first: int, offset: int) -> Taken:
        """Those from `first` on, of which the first has to have `offset`."""

    def ack(self, up_to: int, rows: int) -> bytes:
        """Everything up to an offset is durable; -1: nothing is. Rows of all of them."""

    def close_signal(self, up_to: int, rows: int, duration_s: float) -> bytes:
        """The stream is to be opened anew within that time."""


class Open(NamedTuple):
    """Open it, and say `opened` or `failed`; until then messages should wait."""

    opening: Opening


class Append(NamedTuple):
    """Write these messages, and say `durable` or `failed`."""

    records: list[Record]
    counts: list[int]


class SetAside(NamedTuple):
    """Write these to the dead-letter topic, and say `set_aside` or `failed`."""

    rejected: tuple[BadRecord, ...]
    flight: Flight


class Send(NamedTuple):
    message: bytes


class Finish(NamedTuple):
    """Nothing follows."""

    status: Status
    message: str = ""


Action = Open | Append | SetAside | Send | Finish


class _Phase(Enum):
    NEW = 0
    OPENING = 1
    OPEN = 2
    ENDING = 3
    OVER = 4


class Intake:
    """Every method returns what to do, in order. `now` is in seconds of a clock that only rises."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._phase = _Phase.NEW
        self._flights = Flights()
        self._opening = Opening()
        self._next_offset = 0
        self._held: tuple[Messages, int] | None = None
        """What came together with the opening; the client did not wait for the answer."""
        self._has_ended = False
        """The client sends no more."""
        self._end = Finish(Status.OK)
        self._said_at = 0.0
        self._closes_at: float | None = None

    @property
    def is_over(self) -> bool:
        return self._phase is _Phase.OVER

    def messages(self, messages: Messages, now: float) -> list[Action]:
        """They arrived."""
        if self._phase is _Phase.NEW:
            return self._open(messages)
        if self._phase is _Phase.OPEN:
            return self._take(messages, 0, now)
        return []

    def _open(self, messages: Messages) -> list[Action]:
        try:
            self._opening = self._speech.read_opening(next(iter(messages)))
        except GrpcError as error:
            return self._fail(error)
        self._phase = _Phase.OPENING
        self._held = (messages, 1)
        return [Open(self._opening)]

    def opened(self, opened: Opened, now: float) -> list[Action]:
        """The opening was granted."""
        if self._phase is not _Phase.OPENING:
            return []
        self._phase = _Phase.OPEN
        self._next_offset = opened.committed_offset + 1
        self._flights.start(opened.committed_offset)
        self._said_at = now
        actions: list[Action] = [Send(self._speech.opened(self._opening, opened))]
        held, self._held = self._held, None
        if held is not None and held[1] < len(held[0]):
            actions += self._take(*held, now)
        return actions + self._settle()

    def _take(self, messages: Messages, first: int, now: float) -> list[Action]:
        taken = self._speech.take(messages, first, self._next_offset)
        actions: list[Action] = []
        if taken.counts:
            self._next_offset += len(taken.counts)
            if not self._flights:
                self._said_at = now  # silence begins here
            is_held = bool(taken.rejected)
            flight = self._flights.add(self._next_offset - 1, taken.rows, is_held=is_held)
            actions.append(Append(taken.records, taken.counts))
            if is_held:
                actions.append(SetAside(taken.rejected, flight))
        if taken.fault is not None:
            self._end = Finish(taken.fault.status, taken.fault.message)
            self._phase = _Phase.ENDING
        return actions + self._settle()

    def durable(self, messages: int) -> None:
        """So many, from offset 0 on, are on the disk; `report` says so to the client, several
        times of this as one."""
        self._flights.durable(messages)

    def set_aside(self, flight: Flight) -> None:
        """What was rejected of it is durable; the same."""
        self._flights.release(flight)

    def report(self, now: float) -> list[Action]:
        """Acknowledge what has become durable."""
        actions: list[Action] = []
        if self._phase in (_Phase.OPEN, _Phase.ENDING) and self._flights.take_news():
            actions.append(self._ack(now))
        return actions + self._settle()

    def failed(self, error: GrpcError, now: float) -> list[Action]:
        """It could not be opened, or something of it cannot be written: that is the end."""
        actions = self.report(now) if self._phase is not _Phase.OPENING else []
        return actions if self.is_over else actions + self._fail(error)

    def end(self) -> list[Action]:
        """The client sends no more."""
        self._has_ended = True
        if self._phase is _Phase.NEW:
            return self._fail(GrpcError(Status.INVALID_ARGUMENT, "the stream was never opened"))
        return self._settle()

    def close(self, grace_s: float, now: float) -> list[Action]:
        """The stream has to go: within the grace in its own way, then in ours."""
        if self._phase is not _Phase.OPEN or self._closes_at is not None:
            return []
        self._closes_at = now + grace_s
        self._said_at = now
        up_to, rows = self._flights.up_to, self._flights.rows
        return [Send(self._speech.close_signal(up_to, rows, grace_s))]

    def due(self) -> float | None:
        """When `tick` is to be called."""
        if self._phase not in (_Phase.OPEN, _Phase.ENDING):
            return None
        heartbeat = self._said_at + HEARTBEAT_S if self._flights else None
        if heartbeat is None or (self._closes_at is not None and self._closes_at < heartbeat):
            return self._closes_at
        return heartbeat

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        if self._phase not in (_Phase.OPEN, _Phase.ENDING):
            return []
        if self._closes_at is not None and now >= self._closes_at:
            return self._fail(GrpcError(Status.UNAVAILABLE, "the stream is closed; open it anew"))
        if self._flights and now >= self._said_at + HEARTBEAT_S:
            return [self._ack(now)]
        return []

    def _ack(self, now: float) -> Send:
        self._said_at = now
        return Send(self._speech.ack(self._flights.up_to, self._flights.rows))

    def _settle(self) -> list[Action]:
        """Finish if everything that was to be done is."""
        if self._has_ended and self._phase is _Phase.OPEN:
            self._phase = _Phase.ENDING
        if self._phase is not _Phase.ENDING or self._flights or self._flights.has_news:
            return []
        self._phase = _Phase.OVER
        return [self._end]

    def _fail(self, error: GrpcError) -> list[Action]:
        self._phase = _Phase.OVER
        self._held = None
        return [Finish(error.status, error.message)]
