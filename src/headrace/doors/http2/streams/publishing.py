"""One Publish call: events in, acknowledgements out.

Acknowledgements are cumulative, sent once for all that one turn of the loop made durable, and not
while the client does not read them: so they take no memory. What must not enter: the log.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from headrace.doors.http2.call import Call, Handler
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.streams.faults import grpc_error, invalid
from headrace.wire.cloudevents import InvalidEventError, record_of
from headrace.wire.errors import MalformedError, RequestError
from headrace.wire.headrace_v1 import (
    Closing,
    Committed,
    EventBatch,
    Opened,
    OpenPublish,
    PublishResponse,
    read_publish_request,
    write_publish_response,
)
from headrace.wire.records import Record

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.streams.stream import IngestStream

__all__ = ["Publishing"]

RECORD_TYPE: Final = "cloudevents"
"""What administrators see of such streams."""
DRAIN_GRACE_MS: Final = 2000
"""How long streams have to go when the server stops; a little less than the door waits."""


class Publishing(Handler):
    """Also the `StreamOwner` of the broker's stream."""

    def __init__(self, broker: "Broker", call: Call) -> None:
        self._broker = broker
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._stream: IngestStream | None = None
        self._has_opened = False
        self._committed = 0
        self._told = 0
        """Of what is committed."""
        self._report_is_due = False
        self._task: asyncio.Task[None] | None = None
        """Opening, then ending."""

    # Told by the call

    def on_messages(self, messages: Messages) -> None:
        records: list[Record] = []
        for message in messages:
            request = _read(message)
            if isinstance(request, EventBatch):
                self._take(request, records)
            elif self._has_opened:
                raise invalid("the stream is open already")
            else:
                self._has_opened = True
                self._open(request)
        self._append(records)

    def on_end(self) -> None:
        if not self._has_opened:
            raise invalid("a stream begins with `open`")
        self._task = self._loop.create_task(self._finish(self._task))

    def on_room(self) -> None:
        self._report()

    def on_drain(self) -> None:
        self._say(Closing(DRAIN_GRACE_MS))

    def on_cancel(self, why: str) -> None:
        self._release()

    # Told by the stream

    def durable(self, messages: int) -> None:
        self._committed = messages
        if not self._report_is_due:
            self._report_is_due = True
            self._loop.call_soon(self._report)

    def caught_up(self) -> None:
        self._call.resume()

    def close_asked(self, grace_ms: int) -> None:
        self._say(Closing(grace_ms))

    def failed(self, error: RequestError) -> None:
        self._fail(grpc_error(error))

    # Own

    def _open(self, request: OpenPublish) -> None:
        if request.stream_id:
            opening = self._broker.streams.resume(
                request.stream_id, self, client=self._call.peer, record_type=RECORD_TYPE
            )
        else:
            streams = self._broker.streams
            make = streams.create if request.persistent else streams.open
            opening = make(request.topic, self, client=self._call.peer, record_type=RECORD_TYPE)
        self._call.pause()
        self._task = self._loop.create_task(self._bind(opening, request.topic))

    async def _bind(self, opening: "Coroutine[Any, Any, IngestStream]", topic: str) -> None:
        """Goes on to its end, even without the call."""
        with self._call.ends_on_error():
            try:
                stream = await opening
            except RequestError as error:
                raise grpc_error(error) from None
            if not self._call.is_open:
                stream.close()
                return
            if topic not in ("", stream.topic):
                stream.close()
                raise invalid(f"stream {stream.id} is not of topic {topic!r}")
            self._stream = stream
            self._committed = self._told = stream.durable_messages
            self._say(Opened(stream.id, stream.next_offset))
            self._call.resume()

    def _take(self, batch: EventBatch, records: list[Record]) -> None:
        """Raises GrpcError."""
        stream = self._stream
        if stream is None:
            raise invalid("a stream begins with `open`")
        expected = stream.next_offset + len(records)
        if batch.first_offset != expected:
            raise GrpcError(
                Status.OUT_OF_RANGE, f"a batch at offset {batch.first_offset}, not {expected}"
            )
        try:
            records += map(record_of, batch.events)
        except InvalidEventError as error:
            raise invalid(str(error)) from None

    def _append(self, records: list[Record]) -> None:
        stream = self._stream
        if stream is None or not records:
            return
        try:
            stream.append_records(records)
        except RequestError as error:
            self._fail(grpc_error(error))
            return
        if stream.is_behind:
            self._call.pause()

    async def _finish(self, before: "asyncio.Task[None] | None") -> None:
        """After the client's half-close."""
        with self._call.ends_on_error():
            if before is not None:
                await before
            if self._stream is None:
                return
            try:
                await self._stream.drain()
            except RequestError as error:
                self._fail(grpc_error(error))
                return
            self._committed = self._stream.durable_messages
            self._report(at_once=True)
            self._release()
            self._call.finish()

    def _report(self, *, at_once: bool = False) -> None:
        self._report_is_due = False
        is_news = self._committed > self._told
        if is_news and self._call.is_open and (at_once or self._call.has_room):
            self._told = self._committed
            self._say(Committed(self._committed))

    def _say(self, response: PublishResponse) -> None:
        self._call.send([write_publish_response(response)])

    def _fail(self, error: GrpcError) -> None:
        """What is committed by now is told first."""
        self._report(at_once=True)
        self._release()
        self._call.finish(error.status, error.message)

    def _release(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _read(message: memoryview) -> "OpenPublish | EventBatch":
    try:
        return read_publish_request(message)
    except MalformedError as error:
        raise invalid(f"not a PublishRequest: {error}") from None
