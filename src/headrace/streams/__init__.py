"""Publish and subscribe to events over Headrace's own stream API (`headrace_v1.proto`).

    with Publisher("localhost:9090", "orders") as publisher:
        publisher.send(Event(id="1", source="/shop", type="order.placed", data=b"{}"))
        publisher.flush()  # durable from here on

    with Subscriber("localhost:9090", "orders", "billing", start="earliest") as subscriber:
        for received in subscriber:
            bill(received.event)
            received.ack()

`AsyncPublisher` and `AsyncSubscriber` are the same for asyncio. Nothing waits for ever: what takes
longer than `timeout_s` raises TimeoutError, what cannot succeed raises StreamError. Needs grpcio:
`pip install headrace[streams]`. What must not enter: the broker.
"""

try:
    import grpc.aio  # noqa: F401
except ImportError as error:
    raise ImportError("headrace.streams needs grpcio: pip install 'headrace[streams]'") from error

from headrace.streams.blocking import Publisher, Subscriber
from headrace.streams.connecting import StreamError
from headrace.streams.publisher import AsyncPublisher
from headrace.streams.subscriber import AsyncSubscriber, Received
from headrace.wire.cloudevents import Event, InvalidEventError

__all__ = [
    "AsyncPublisher",
    "AsyncSubscriber",
    "Event",
    "InvalidEventError",
    "Publisher",
    "Received",
    "StreamError",
    "Subscriber",
]
