"""The messages of `headrace.v1.Streams`, to and from protobuf; `headrace_v1.proto` declares them.

Client and server both use this, so each message is read and written. Unknown fields are passed
over. Reading raises MalformedError. What must not enter: what a message means.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

from headrace.wire.cloudevents import Event
from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import LENGTH_DELIMITED, put_bytes, put_varint, read_fields, to_int64
from headrace.wire.records import Header

__all__ = [
    "SERVICE",
    "START_EARLIEST",
    "START_LATEST",
    "Closing",
    "Committed",
    "Delivery",
    "EventBatch",
    "OpenPublish",
    "OpenSubscription",
    "Opened",
    "Outcome",
    "PublishRequest",
    "PublishResponse",
    "Settlement",
    "SubscribeRequest",
    "SubscribeResponse",
    "Subscribed",
    "read_publish_request",
    "read_publish_response",
    "read_retire",
    "read_subscribe_request",
    "read_subscribe_response",
    "write_event",
    "write_event_batch",
    "write_publish_request",
    "write_publish_response",
    "write_retire",
    "write_subscribe_request",
    "write_subscribe_response",
]

SERVICE: Final = "headrace.v1.Streams"
START_LATEST: Final = -1
START_EARLIEST: Final = -2
"""Both as ListOffsets of the Kafka protocol has them."""

M = TypeVar("M")


class OpenPublish(NamedTuple):
    topic: str = ""
    persistent: bool = False
    stream_id: str = ""


class EventBatch(NamedTuple):
    first_offset: int
    events: list[Event]


class Opened(NamedTuple):
    stream_id: str
    committed: int


class Committed(NamedTuple):
    committed: int


class Closing(NamedTuple):
    grace_ms: int


PublishRequest = OpenPublish | EventBatch
PublishResponse = Opened | Committed | Closing


class OpenSubscription(NamedTuple):
    topic: str = ""
    group: str = ""
    durable: bool | None = None
    start_ms: int = START_LATEST
    """Milliseconds since 1970, or one of the constants."""
    credit: int = 0


class Outcome(IntEnum):
    ACCEPT = 0
    RELEASE = 1
    REJECT = 2
    EXTEND = 3


class Settlement(NamedTuple):
    partition: int
    first_offset: int
    last_offset: int
    outcome: Outcome = Outcome.ACCEPT
    delay_ms: int = 0


class SubscribeRequest(NamedTuple):
    open: OpenSubscription | None = None
    settlements: Sequence[Settlement] = ()


class Delivery(NamedTuple):
    partition: int
    offset: int
    delivery_count: int
    timestamp_ms: int
    event: Event
    headers: tuple[Header, ...] = ()


class Subscribed(NamedTuple):
    member_id: str
    settle_within_ms: int


class SubscribeResponse(NamedTuple):
    subscribed: Subscribed | None = None
    deliveries: Sequence[Delivery] = ()


# Publish


def read_publish_request(message: memoryview) -> PublishRequest:
    readers: dict[int, Callable[[memoryview], PublishRequest]]
    readers = {1: _read_open_publish, 2: _read_batch}
    return _one_of(message, readers)


def write_publish_request(request: OpenPublish) -> bytes:
    out = _Out()
    out.text(1, request.topic)
    out.number(2, request.persistent)
    out.text(3, request.stream_id)
    return _inside(1, out)


def write_event_batch(first_offset: int, events: Sequence[bytes]) -> bytes:
    """A PublishRequest with events as `write_event` has them."""
    out = _Out()
    out.number(1, first_offset)
    for event in events:
        put_bytes(out, 2, event)
    return _inside(2, out)


def read_publish_response(message: memoryview) -> PublishResponse:
    readers: dict[int, Callable[[memoryview], PublishResponse]]
    readers = {1: _read_opened, 2: _read_committed, 3: _read_closing}
    return _one_of(message, readers)


def write_publish_response(response: PublishResponse) -> bytes:
    out = _Out()
    if isinstance(response, Opened):
        out.text(1, response.stream_id)
        out.number(2, response.committed)
        return _inside(1, out)
    if isinstance(response, Committed):
        out.number(1, response.committed)
        return _inside(2, out)
    out.number(1, response.grace_ms)
    return _inside(3, out)


def read_retire(message: memoryview) -> str:
    return _In(message).text(1)


def write_retire(stream_id: str) -> bytes:
    out = _Out()
    out.text(1, stream_id)
    return bytes(out)


def _read_open_publish(message: memoryview) -> OpenPublish:
    told = _In(message)
    return OpenPublish(told.text(1), bool(told.number(2)), told.text(3))


def _read_batch(message: memoryview) -> EventBatch:
    told = _In(message)
    return EventBatch(told.number(1), [_read_event(event) for event in told.all(2)])


def _read_opened(message: memoryview) -> Opened:
    told = _In(message)
    return Opened(told.text(1), told.number(2))


def _read_committed(message: memoryview) -> Committed:
    return Committed(_In(message).number(1))


def _read_closing(message: memoryview) -> Closing:
    return Closing(_In(message).number(1))


# Subscribe


def read_subscribe_request(message: memoryview) -> SubscribeRequest:
    told = _In(message)
    opens = told.all(1)
    return SubscribeRequest(
        _read_open_subscription(opens[-1]) if opens else None,
        [_read_settlement(settlement) for settlement in told.all(2)],
    )


def write_subscribe_request(request: SubscribeRequest) -> bytes:
    out = _Out()
    if request.open is not None:
        put_bytes(out, 1, _open_subscription(request.open))
    for settlement in request.settlements:
        inner = _Out()
        for number, value in enumerate(settlement, 1):
            inner.number(number, value)
        put_bytes(out, 2, inner)
    return bytes(out)


def read_subscribe_response(message: memoryview) -> SubscribeResponse:
    told = _In(message)
    subscribed = None
    for inner in map(_In, told.all(1)):
        subscribed = Subscribed(inner.text(1), inner.number(2))
    return SubscribeResponse(subscribed, [_read_delivery(delivery) for delivery in told.all(2)])


def write_subscribe_response(response: SubscribeResponse) -> bytes:
    out = _Out()
    if response.subscribed is not None:
        inner = _Out()
        inner.text(1, response.subscribed.member_id)
        inner.number(2, response.subscribed.settle_within_ms)
        put_bytes(out, 1, inner)
    for delivery in response.deliveries:
        put_bytes(out, 2, _delivery(delivery))
    return bytes(out)


def _read_open_subscription(message: memoryview) -> OpenSubscription:
    told = _In(message)
    start_ms = START_LATEST
    if told.has(5) and told.number(5):
        start_ms = START_EARLIEST
    elif told.has(6):
        start_ms = told.signed(6)
    durable = bool(told.number(3)) if told.has(3) else None
    return OpenSubscription(told.text(1), told.text(2), durable, start_ms, told.number(7))


def _open_subscription(opening: OpenSubscription) -> bytearray:
    out = _Out()
    out.text(1, opening.topic)
    out.text(2, opening.group)
    if opening.durable is not None:
        put_varint(out, 3, opening.durable)
    if opening.start_ms == START_EARLIEST:
        put_varint(out, 5, True)
    elif opening.start_ms == START_LATEST:
        put_varint(out, 4, True)
    else:
        put_varint(out, 6, opening.start_ms)
    out.number(7, opening.credit)
    return out


def _read_settlement(message: memoryview) -> Settlement:
    told = _In(message)
    outcome = told.number(4)
    if outcome not in set(Outcome):
        raise MalformedError(f"there is no outcome {outcome}")
    return Settlement(
        told.number(1), told.signed(2), told.signed(3), Outcome(outcome), told.number(5)
    )


def _read_delivery(message: memoryview) -> Delivery:
    told = _In(message)
    return Delivery(
        told.number(1),
        told.signed(2),
        told.number(3),
        told.signed(4),
        _read_event(told.bytes(5)),
        tuple((h.text(1), bytes(h.bytes(2)) if h.has(2) else None) for h in map(_In, told.all(6))),
    )


def _delivery(delivery: Delivery) -> bytearray:
    out = _Out()
    out.number(1, delivery.partition)
    out.number(2, delivery.offset)
    out.number(3, delivery.delivery_count)
    out.number(4, delivery.timestamp_ms)
    put_bytes(out, 5, write_event(delivery.event))
    for name, data in delivery.headers:
        inner = _Out()
        inner.text(1, name)
        if data is not None:
            put_bytes(inner, 2, data)
        put_bytes(out, 6, inner)
    return out


# Events

_OPTIONAL_TEXTS: Final = {4: "subject", 5: "time", 6: "datacontenttype", 7: "dataschema"}


def write_event(event: Event) -> bytes:
    """Raises ValueError for attributes that are no text."""
    out = _Out()
    out.text(1, event.id)
    out.text(2, event.source)
    out.text(3, event.type)
    for number, name in _OPTIONAL_TEXTS.items():
        text = getattr(event, name)
        if text is not None:
            put_bytes(out, number, text.encode())
    for name, text in event.extensions.items():
        inner = _Out()
        inner.text(1, name)
        inner.text(2, text)
        put_bytes(out, 8, inner)
    if event.data is not None:
        put_bytes(out, 9, event.data)
    return bytes(out)


def _read_event(message: memoryview) -> Event:
    told = _In(message)
    optional = {name: told.text(n) for n, name in _OPTIONAL_TEXTS.items() if told.has(n)}
    return Event(
        id=told.text(1),
        source=told.text(2),
        type=told.text(3),
        data=bytes(told.bytes(9)) if told.has(9) else None,
        extensions={inner.text(1): inner.text(2) for inner in map(_In, told.all(8))},
        **optional,
    )


# Fields


class _In:
    """A message's fields by number; of the wrong type they are as if unknown."""

    __slots__ = ("_numbers", "_parts")

    def __init__(self, message: memoryview) -> None:
        self._numbers: dict[int, int] = {}
        self._parts: dict[int, list[memoryview]] = {}
        for number, kind, value in read_fields(message):
            if isinstance(value, int):
                self._numbers[number] = value
            elif kind == LENGTH_DELIMITED:
                self._parts.setdefault(number, []).append(value)

    def has(self, number: int) -> bool:
        return number in self._parts or number in self._numbers

    def number(self, number: int) -> int:
        return self._numbers.get(number, 0)

    def signed(self, number: int) -> int:
        return to_int64(self.number(number))

    def all(self, number: int) -> list[memoryview]:
        return self._parts.get(number, [])

    def bytes(self, number: int) -> memoryview:
        parts = self._parts.get(number)
        return parts[-1] if parts else memoryview(b"")

    def text(self, number: int) -> str:
        try:
            return str(self.bytes(number), "utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError(f"field {number} is no UTF-8") from error


class _Out(bytearray):
    """Leaves out what has its default."""

    def number(self, number: int, value: int) -> None:
        if value:
            put_varint(self, number, value)

    def text(self, number: int, value: str) -> None:
        if value:
            put_bytes(self, number, value.encode())


def _one_of(message: memoryview, readers: dict[int, Callable[[memoryview], M]]) -> M:
    """What the last field that is known holds."""
    found: M | None = None
    for number, kind, value in read_fields(message):
        if number in readers and kind == LENGTH_DELIMITED and not isinstance(value, int):
            found = readers[number](value)
    if found is None:
        raise MalformedError("the message says nothing")
    return found


def _inside(number: int, message: bytearray) -> bytes:
    out = bytearray()
    put_bytes(out, number, message)
    return bytes(out)
