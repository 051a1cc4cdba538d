"""Receiving events as one of a group, each to be settled.

When the connection fails, what was received and not settled is received by somebody again; settling
it then has no effect. What must not enter: how calls are made again (`connecting`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import grpc

from headrace.streams.connecting import Connecting, StreamError
from headrace.wire.cloudevents import Event
from headrace.wire.headrace_v1 import (
    START_EARLIEST,
    START_LATEST,
    OpenSubscription,
    Outcome,
    Settlement,
    SubscribeRequest,
    read_subscribe_response,
    write_subscribe_request,
)
from headrace.wire.records import Header

__all__ = ["AsyncSubscriber", "Received", "Settle", "Start"]

Start = Literal["earliest", "latest"] | datetime
"""A datetime must know its time zone."""
Settle = Callable[[int, Settlement], None]
"""The number of the connection comes first."""


@dataclass(frozen=True, slots=True)
class Received:
    """An event and where it stands. Settle it once: `ack`, `nack` or `reject`."""

    event: Event
    partition: int
    offset: int
    delivery_count: int
    """1 when it comes for the first time."""
    timestamp_ms: int
    """Of the record, since 1970."""
    headers: tuple[Header, ...]
    """Of the record, that are no part of the event."""
    _settle: Settle = field(repr=False, compare=False)
    _connection: int = field(repr=False, compare=False)

    def ack(self) -> None:
        """It is done. Durable soon, and for sure once the subscriber was closed."""
        self._say(Outcome.ACCEPT)

    def nack(self, delay_s: float = 0.0) -> None:
        """Deliver it once more, not before `delay_s` (up to 15 minutes) have passed; after the
        group's last delivery it goes to the dead-letter topic."""
        self._say(Outcome.RELEASE, round(delay_s * 1000))

    def reject(self) -> None:
        """Nobody shall have it again: to the dead-letter topic, if the group has one."""
        self._say(Outcome.REJECT)

    def extend(self) -> None:
        """Work goes on: the time to settle it begins anew."""
        self._say(Outcome.EXTEND)

    def _say(self, outcome: Outcome, delay_ms: int = 0) -> None:
        settlement = Settlement(self.partition, self.offset, self.offset, outcome, delay_ms)
        self._settle(self._connection, settlement)


class AsyncSubscriber(Connecting):
    """Everything on one loop. `credit` events are received and not settled at one time."""

    def __init__(
        self,
        target: str,
        topic: str,
        group: str,
        *,
        durable: bool | None = None,
        start: Start = "latest",
        credit: int = 100,
        timeout_s: float = 30.0,
        token: str = "",
    ) -> None:
        """`durable` None: as the group is, or durable. `start`: where a group begins that has never
        read the topic. Raises ValueError."""
        super().__init__(target, "Subscribe", timeout_s, token)
        if not 1 <= credit <= 10_000:
            raise ValueError(f"a credit of {credit} is not from 1 to 10,000")
        self._request = OpenSubscription(topic, group, durable, _start_ms(start), credit)
        self._waiting: deque[Received] = deque()
        """Bounded by credit, as are the settlements that have not left."""
        self._settlements: list[Settlement] = []
        self._connection = 0
        self._wake: Callable[[], None] = lambda: None
        self.settle: Settle = self._settle_here
        """What received events use; to be replaced if they are settled in other threads."""

    async def receive(self, timeout_s: float | None = None) -> Received:
        """The next event. Raises TimeoutError if none comes in time (default: `timeout_s` of the
        subscriber), StreamError."""
        received = self.received()
        while received is None:
            await self._until(lambda: bool(self._waiting), "an event", timeout_s)
            received = self.received()
        return received

    def received(self) -> Received | None:
        """The next event if there is one already; may be called in any thread."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def __aiter__(self) -> "AsyncSubscriber":
        return self

    async def __anext__(self) -> Received:
        """As long as the subscriber is open; raises StreamError when it cannot go on."""
        while True:
            try:
                return await self.receive()
            except TimeoutError:
                if self._is_closing:
                    raise StopAsyncIteration from None

    # For `Connecting`

    def _opening(self) -> bytes:
        return write_subscribe_request(SubscribeRequest(self._request))

    def _opened(self, message: memoryview) -> None:
        if read_subscribe_response(message).subscribed is None:
            raise StreamError(grpc.StatusCode.INTERNAL, "not the answer to open")
        self._connection += 1
        self._waiting.clear()
        self._settlements.clear()

    def _received(self, message: memoryview) -> None:
        for delivery in read_subscribe_response(message).deliveries:
            self._waiting.append(
                Received(
                    delivery.event,
                    *delivery[:4],
                    delivery.headers,
                    self.settle,
                    self._connection,
                )
            )

    def _settle_here(self, connection: int, settlement: Settlement) -> None:
        if connection == self._connection:
            self._settlements.append(settlement)
            self._wake()

    async def _write(self, call: Any) -> None:
        something = asyncio.Event()
        self._wake = something.set
        closing = asyncio.create_task(self._when_closing(something))
        try:
            while True:
                something.clear()
                if self._settlements:
                    told, self._settlements = self._settlements, []
                    await call.write(write_subscribe_request(SubscribeRequest(None, told)))
                elif self._is_closing:
                    await call.done_writing()
                    return
                else:
                    await something.wait()
        finally:
            closing.cancel()

    async def _when_closing(self, something: Any) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_closing)
        something.set()

    def _is_done(self) -> bool:
        return self._is_closing


def _start_ms(start: Start) -> int:
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise ValueError("a start without a time zone")
        return int(start.timestamp() * 1000)
    return START_EARLIEST if start == "earliest" else START_LATEST
