"""One Subscribe call: deliveries out as far as there is credit, settlements in.

A client that does not read is given nothing more; what it was given comes to others when its time
is up. What must not enter: who is given what (`broker.share`).
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from headrace.broker.share.subscription import Delivered, ShareSubscription
from headrace.doors.http2.call import Call, Handler
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.streams.faults import grpc_error, invalid
from headrace.wire.cloudevents import event_of
from headrace.wire.errors import MalformedError, RequestError
from headrace.wire.headrace_v1 import (
    START_EARLIEST,
    Delivery,
    OpenSubscription,
    Outcome,
    Settlement,
    Subscribed,
    SubscribeRequest,
    SubscribeResponse,
    read_subscribe_request,
    write_subscribe_response,
)
from headrace.wire.messages.k78_share_fetch import AcknowledgeType

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["CREDIT_MAX", "Subscribing"]

CREDIT_MAX: Final = 10_000
CREDIT_DEFAULT: Final = 100
MESSAGE_BYTES: Final = 256 * 1024
"""Of deliveries in one message; more only if one delivery is larger."""
WAIT_MS: Final = 1000
"""For records; then partitions may have been assigned otherwise."""
LOOK_S: Final = 1.0
"""Without credit: some may have come back because time was up."""

_TYPES: Final = {
    Outcome.ACCEPT: AcknowledgeType.ACCEPT,
    Outcome.RELEASE: AcknowledgeType.RELEASE,
    Outcome.REJECT: AcknowledgeType.REJECT,
    Outcome.EXTEND: AcknowledgeType.RENEW,
}


class Subscribing(Handler):
    def __init__(self, broker: "Broker", call: Call) -> None:
        self._broker = broker
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._subscription: ShareSubscription | None = None
        self._work: asyncio.Task[None] | None = None
        """Opens, delivers, ends."""
        self._delivering: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        """There may be more credit or room."""
        self._credit = CREDIT_DEFAULT
        self._has_ended = False

    # Told by the call

    def on_messages(self, messages: Messages) -> None:
        for message in messages:
            request = _read(message)
            if request.open is not None:
                self._open(request.open)
            elif self._work is None:
                raise invalid("a subscription begins with `open`")
            for settlement in request.settlements:
                self._settle(settlement)
        self._more.set()

    def on_end(self) -> None:
        if self._work is None:
            raise invalid("a subscription begins with `open`")
        self._has_ended = True
        self._more.set()
        self._stop_waiting()

    def on_room(self) -> None:
        self._more.set()

    def on_drain(self) -> None:
        self._end()
        self._call.finish(Status.UNAVAILABLE, "the server stops")

    def on_cancel(self, why: str) -> None:
        self._end()

    # Own

    def _open(self, opening: OpenSubscription) -> None:
        """Raises GrpcError."""
        if self._work is not None:
            raise invalid("the subscription is open already")
        if not opening.topic or not opening.group:
            raise invalid("a subscription needs a topic and a group")
        if opening.credit > CREDIT_MAX:
            raise invalid(f"a credit of {opening.credit}; most is {CREDIT_MAX}")
        if opening.start_ms < START_EARLIEST:
            raise invalid(f"there is no time {opening.start_ms}")
        self._credit = opening.credit or CREDIT_DEFAULT
        self._call.pause()
        self._work = self._broker.subscriptions.changes.start(self._run(opening))

    async def _run(self, opening: OpenSubscription) -> None:
        """Entering goes on to its end, even without the call."""
        with self._call.ends_on_error():
            try:
                subscription = await self._broker.subscriptions.open(
                    opening.topic,
                    opening.group,
                    durable=opening.durable,
                    since_ms=opening.start_ms,
                    client=self._call.peer,
                )
                try:
                    await self._serve(subscription)
                finally:
                    self._subscription = None
                    await subscription.close()
                self._call.finish()
            except RequestError as error:
                raise grpc_error(error) from None

    async def _serve(self, subscription: ShareSubscription) -> None:
        """Until the client has ended and all that it said is durable. Raises RequestError."""
        if not self._call.is_open:
            return
        self._subscription = subscription
        subscribed = Subscribed(subscription.member_id, subscription.lock_ms)
        self._call.send([write_subscribe_response(SubscribeResponse(subscribed))])
        self._call.resume()
        self._delivering = self._loop.create_task(self._deliver(subscription))
        with contextlib.suppress(asyncio.CancelledError):
            await self._delivering
        if self._call.is_open:
            await subscription.flush()

    async def _deliver(self, subscription: ShareSubscription) -> None:
        while self._call.is_open and not self._has_ended:
            self._more.clear()
            credit = self._credit - subscription.held()
            if credit <= 0 or not self._call.has_room:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), LOOK_S)
                subscription.check()
                continue
            delivered = await subscription.fetch(credit, WAIT_MS)
            self._send(subscription.topic.name, delivered)

    def _send(self, topic: str, delivered: list[Delivered]) -> None:
        pending: list[Delivery] = []
        size = 0
        for partition, record, count in delivered:
            event, headers = event_of(record, topic, partition)
            pending.append(
                Delivery(partition, record.offset, count, record.timestamp_ms, event, headers)
            )
            size += len(record.value or b"")
            if size >= MESSAGE_BYTES:
                self._call.send([write_subscribe_response(SubscribeResponse(None, pending))])
                pending, size = [], 0
        if pending:
            self._call.send([write_subscribe_response(SubscribeResponse(None, pending))])

    def _settle(self, settlement: Settlement) -> None:
        """Raises GrpcError."""
        if self._subscription is None:
            return
        partition, first, last, outcome, delay_ms = settlement
        if not 0 <= first <= last:
            raise invalid(f"[{first}, {last}] are no offsets")
        try:
            self._subscription.settle(partition, first, last, _TYPES[outcome], delay_ms)
        except RequestError as error:
            raise grpc_error(error) from None

    def _stop_waiting(self) -> None:
        if self._delivering is not None:
            self._delivering.cancel()

    def _end(self) -> None:
        """The call is over or about to be."""
        self._has_ended = True
        self._more.set()
        self._stop_waiting()


def _read(message: memoryview) -> SubscribeRequest:
    try:
        return read_subscribe_request(message)
    except MalformedError as error:
        raise GrpcError(Status.INVALID_ARGUMENT, f"not a SubscribeRequest: {error}") from None
