"""Publishing events, in order, known to be durable.

With a persistent stream each event is written exactly once, however often the connection or the
broker fails meanwhile; a process that starts anew gives the `stream_id` and goes on with its event
number `next_offset`. Otherwise events may be written twice around a failure.
What must not enter: how calls are made again (`connecting`).
"""

from collections import deque
from typing import Any, Final

import grpc

from headrace.streams.connecting import Connecting, StreamError
from headrace.wire.cloudevents import Event
from headrace.wire.headrace_v1 import (
    Closing,
    Committed,
    Opened,
    OpenPublish,
    read_publish_response,
    write_event,
    write_event_batch,
    write_publish_request,
)

__all__ = ["AsyncPublisher"]

BATCH_EVENTS_MAX: Final = 1000
BATCH_BYTES_MAX: Final = 1024 * 1024
"""Or one event, if it is larger."""


class AsyncPublisher(Connecting):
    """Everything on one loop. `in_flight_max` events wait to become durable; `send` waits then."""

    def __init__(
        self,
        target: str,
        topic: str,
        *,
        persistent: bool = False,
        stream_id: str = "",
        timeout_s: float = 30.0,
        token: str = "",
        in_flight_max: int = 10_000,
    ) -> None:
        super().__init__(target, "Publish", timeout_s, token)
        self.topic = topic
        self.stream_id = stream_id
        """Told by the server; of a persistent stream, what to resume it by."""
        self.committed = 0
        """Events that are durable, counted from the stream's first."""
        self.next_offset = 0
        """Of the event that is sent next."""
        self._persistent = persistent or bool(stream_id)
        self._has_begun = False
        self._in_flight_max = in_flight_max
        self._pending: deque[bytes] = deque()
        """The events [committed, next_offset)."""
        self._sent = 0
        self._begin = 0
        """The offset here of what the server calls 0."""
        self._is_leaving = False

    async def send(self, *events: Event) -> int:
        """Hand over events; returns the offset of the first. They are durable once `committed` is
        beyond it, `flush` waits for that.

        Raises InvalidEventError, and none was taken; StreamError; TimeoutError, and some may have
        been taken (see `next_offset`).
        """
        for event in events:
            event.check()
        encoded = [write_event(event) for event in events]
        first = self.next_offset
        for data in encoded:
            if self._failure is not None:
                raise self._failure
            if len(self._pending) >= self._in_flight_max:
                await self._until(
                    lambda: len(self._pending) < self._in_flight_max, "events to become durable"
                )
            self._pending.append(data)
            self.next_offset += 1
        await self._notify()
        return first

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was sent is durable. Raises StreamError, TimeoutError."""
        wanted = self.next_offset
        await self._until(lambda: self.committed >= wanted, "events to become durable", timeout_s)

    # For `Connecting`

    def _opening(self) -> bytes:
        resumes = self.stream_id if self._persistent else ""
        return write_publish_request(OpenPublish(self.topic, self._persistent, resumes))

    def _opened(self, message: memoryview) -> None:
        opened = read_publish_response(message)
        if not isinstance(opened, Opened):
            raise StreamError(grpc.StatusCode.INTERNAL, f"not the answer to open: {opened}")
        self.stream_id = opened.stream_id
        self._is_leaving = False
        if not self._persistent:
            self._begin = self.committed
        elif not self._has_begun:
            self.committed = self.next_offset = opened.committed
        elif not self.committed <= opened.committed <= self.next_offset:
            raise StreamError(
                grpc.StatusCode.DATA_LOSS,
                f"the stream is at {opened.committed}, not between {self.committed} and "
                f"{self.next_offset}",
            )
        else:
            self._commit(opened.committed)
        self._has_begun = True
        self._sent = self.committed

    def _received(self, message: memoryview) -> None:
        response = read_publish_response(message)
        if isinstance(response, Committed):
            self._commit(self._begin + response.committed)
        elif isinstance(response, Closing):
            self._is_leaving = True

    def _commit(self, offset: int) -> None:
        while self.committed < offset:
            self._pending.popleft()
            self.committed += 1

    async def _write(self, call: Any) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(self._has_work)
            if self._is_leaving or (self._is_closing and self._sent == self.next_offset):
                await call.done_writing()
                return
            first, events = self._sent, self._next_batch()
            self._sent += len(events)
            await call.write(write_event_batch(first - self._begin, events))

    def _has_work(self) -> bool:
        return self._sent < self.next_offset or self._is_leaving or self._is_closing

    def _next_batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        waiting = self.next_offset - self._sent
        skipped = self._sent - self.committed
        for at in range(skipped, skipped + min(waiting, BATCH_EVENTS_MAX)):
            size += len(self._pending[at])
            if batch and size > BATCH_BYTES_MAX:
                break
            batch.append(self._pending[at])
        return batch

    def _is_done(self) -> bool:
        return self._is_closing and not self._pending
