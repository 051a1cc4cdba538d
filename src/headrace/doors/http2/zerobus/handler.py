"""The call of one ingest stream: does what its `Intake` says, tells it what has happened.

What must not enter: the rules of streams (`intake`), what messages look like (`speech`, `arrow`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from headrace.broker.rejected_records import BadRecord
from headrace.doors.http2.call import Call, Handler
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.status import GrpcError
from headrace.doors.http2.zerobus.faults import grpc_error
from headrace.doors.http2.zerobus.intake import (
    Action,
    Append,
    Finish,
    Intake,
    Open,
    Opened,
    Opening,
    Send,
    SetAside,
    Speech,
)
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.streams.stream import IngestStream

__all__ = ["Granted", "IngestHandler", "OpenStream", "SetRejectedAside"]

DRAIN_GRACE_S: Final = 2.0
"""How long streams have to go when the server stops; a little less than the door waits."""

SetRejectedAside = Callable[[tuple[BadRecord, ...]], Awaitable[None]]
"""Durable on return. Raises RequestError."""


class Granted:
    """What an opening gives: the stream, what is said of it, and where bad records go."""

    def __init__(
        self, stream: "IngestStream", opened: Opened, set_aside: SetRejectedAside | None = None
    ) -> None:
        self.stream = stream
        self.opened = opened
        self.set_aside = set_aside


OpenStream = Callable[[Opening, "IngestHandler"], Awaitable[Granted]]
"""Raises RequestError, GrpcError."""


class IngestHandler(Handler):
    """Also the `StreamOwner` of the broker's stream."""

    def __init__(self, call: Call, speech: Speech, open_stream: OpenStream) -> None:
        self.call = call
        self._intake = Intake(speech)
        self._open_stream = open_stream
        self._loop = asyncio.get_running_loop()
        self._granted: Granted | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        """Opening, or setting bad records aside."""
        self._is_behind = False
        self._report_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # Told by the call

    def on_messages(self, messages: Messages) -> None:
        self._do(self._intake.messages(messages, self._loop.time()))

    def on_end(self) -> None:
        self._do(self._intake.end())

    def on_room(self) -> None:
        self._report()

    def on_drain(self) -> None:
        self._do(self._intake.close(DRAIN_GRACE_S, self._loop.time()))

    def on_cancel(self, why: str) -> None:
        self._release()

    # Told by the stream

    def durable(self, messages: int) -> None:
        self._intake.durable(messages)
        self._report_soon()

    def caught_up(self) -> None:
        self._is_behind = False
        self._go_on()

    def close_asked(self, grace_ms: int) -> None:
        with self.call.ends_on_error():
            self._do(self._intake.close(grace_ms / 1000, self._loop.time()))

    def failed(self, error: RequestError) -> None:
        with self.call.ends_on_error():
            self._fail(grpc_error(error))

    # Own

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.call.send([action.message])
            elif isinstance(action, Append):
                self._append(action)
            elif isinstance(action, Finish):
                self._release()
                self.call.finish(action.status, action.message)
            elif isinstance(action, Open):
                self._work(self._open(action.opening))
            else:
                self._work(self._set_aside(action))
        self._set_timer()

    def _append(self, action: Append) -> None:
        if self._granted is None:  # it failed with what came just before
            return
        stream = self._granted.stream
        try:
            stream.append(action.records, action.counts)
        except RequestError as error:
            self._fail(grpc_error(error))
            return
        if stream.is_behind:
            self._is_behind = True
            self.call.pause()

    def _work(self, work: Coroutine[Any, Any, None]) -> None:
        """Messages wait meanwhile. What has begun goes on to its end, even without the call."""
        self.call.pause()
        task = self._loop.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._worked)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        with self.call.ends_on_error():
            try:
                await work
            except RequestError as error:
                self._fail(grpc_error(error))
            except GrpcError as error:
                self._fail(error)

    def _worked(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._go_on()

    async def _open(self, opening: Opening) -> None:
        granted = await self._open_stream(opening, self)
        if not self.call.is_open:
            granted.stream.close()
            return
        self._granted = granted
        self._do(self._intake.opened(granted.opened, self._loop.time()))

    async def _set_aside(self, action: SetAside) -> None:
        if self._granted is not None and self._granted.set_aside is not None:
            await self._granted.set_aside(action.rejected)
            self._intake.set_aside(action.flight)
            self._report_soon()

    def _go_on(self) -> None:
        if not self._is_behind and not self._tasks:
            self.call.resume()

    def _fail(self, error: GrpcError) -> None:
        self._do(self._intake.failed(error, self._loop.time()))

    def _report_soon(self) -> None:
        """Once for all that one turn of the loop brings."""
        if not self._report_is_due:
            self._report_is_due = True
            self._loop.call_soon(self._report)

    def _report(self) -> None:
        self._report_is_due = False
        if self.call.is_open and self.call.has_room:
            with self.call.ends_on_error():
                self._do(self._intake.report(self._loop.time()))

    def _set_timer(self) -> None:
        due = self._intake.due() if self.call.is_open else None
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.call.is_open:
            with self.call.ends_on_error():
                self._do(self._intake.tick(self._loop.time()))

    def _release(self) -> None:
        """Let go of everything; the call is over or about to be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        granted, self._granted = self._granted, None
        if granted is not None:
            granted.stream.close()
