"""Calls that are made again when the broker was away, within bounds.

What must not enter: what a call is about.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from headrace.wire.headrace_v1 import SERVICE

__all__ = ["Connecting", "StreamError"]

PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 1.0
"""Between two attempts; doubled after each."""

_PASSING: Final = frozenset((grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN))
"""May go well if tried again; UNKNOWN is what grpcio makes of some broken connections."""

_LOST: Final = "Internal error from Core"
"""What grpcio says when a call ended under a write. Why it did is lost; the next call tells."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A peer that vanished without a word is noticed within half a minute.
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class StreamError(Exception):
    """The stream has ended and cannot go on; `code` is the grpc.StatusCode that says why."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code


class Connecting(ABC):
    """A client that keeps one call open. Made outside a loop or inside; opened inside."""

    def __init__(self, target: str, method: str, timeout_s: float, token: str) -> None:
        self._target = target
        self._path = f"/{SERVICE}/{method}"
        self._timeout_s = timeout_s
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel: grpc.aio.Channel | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        """Notified of everything that somebody may wait for."""
        self._is_opened = False
        self._failure: BaseException | None = None
        self._is_closing = False

    async def open(self) -> Self:
        """Raises StreamError, TimeoutError."""
        self._channel = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        self._task = asyncio.create_task(self._run())
        try:
            await self._until(lambda: self._is_opened, "the stream to open")
        except BaseException:
            await self._abandon()
            raise
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self._abandon()

    async def close(self) -> None:
        """End well. Raises StreamError, TimeoutError."""
        self._is_closing = True
        try:
            if self._task is not None:
                await self._notify()
                await asyncio.wait({self._task}, timeout=self._timeout_s)
                if not self._task.done():
                    raise TimeoutError(f"the stream did not end within {self._timeout_s:g} s")
            if self._failure is not None:
                raise self._failure
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        if self._failure is None:
            self._failure = StreamError(grpc.StatusCode.CANCELLED, "the stream is closed")
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, condition: Any, what: str, timeout_s: float | None = None) -> None:
        """Raises TimeoutError, or why the stream ended."""
        seconds = self._timeout_s if timeout_s is None else timeout_s

        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: self._failure is not None or condition())

        try:
            await asyncio.wait_for(wait(), seconds)
        except TimeoutError:
            raise TimeoutError(f"waited {seconds:g} s for {what}") from None
        if self._failure is not None and not condition():
            raise self._failure

    async def _run(self) -> None:
        """Call after call, until closed or until none was opened for `timeout_s`."""
        loop = asyncio.get_running_loop()
        opened_s = loop.time()
        pause_s = PAUSE_S_MIN
        while True:
            self._is_opened = False
            try:
                is_done = await self._call_once()
            except grpc.aio.AioRpcError as error:
                is_done = False
                why = StreamError(error.code(), error.details() or "")
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                self._failure = error
                break
            else:
                why = StreamError(grpc.StatusCode.UNAVAILABLE, "the server closed the stream")
            if is_done:
                break
            if self._is_opened:
                opened_s, pause_s = loop.time(), PAUSE_S_MIN
            is_passing = why.code in _PASSING or _LOST in str(why)
            if not is_passing or loop.time() - opened_s > self._timeout_s:
                self._failure = why
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
        await self._notify()

    async def _call_once(self) -> bool:
        """Whether all is done. Raises AioRpcError; what else is raised ends the stream."""
        if self._channel is None:
            return True
        call = self._channel.stream_stream(self._path)(metadata=self._metadata)
        writing: asyncio.Task[None] | None = None
        try:
            await call.write(self._opening())
            first = await asyncio.wait_for(call.read(), self._timeout_s)
            if first is grpc.aio.EOF:
                return False
            self._opened(memoryview(first))
            self._is_opened = True
            await self._notify()
            writing = asyncio.create_task(self._write(call))
            while (message := await call.read()) is not grpc.aio.EOF:
                self._received(memoryview(message))
                await self._notify()
            return self._is_done()
        except asyncio.InvalidStateError:  # grpcio's way to say that the call ended while writing
            await call.wait_for_connection()
            return False
        finally:
            if writing is not None:
                writing.cancel()
                # Whatever ended the call is said by reading.
                await asyncio.gather(writing, return_exceptions=True)
            call.cancel()

    @abstractmethod
    def _opening(self) -> bytes:
        """The first message of a call."""

    @abstractmethod
    def _opened(self, message: memoryview) -> None:
        """Take the answer to it. Raises StreamError."""

    @abstractmethod
    def _received(self, message: memoryview) -> None:
        """Take any other."""

    @abstractmethod
    async def _write(self, call: Any) -> None:
        """Say what there is to say, and `done_writing` when nothing more comes."""

    @abstractmethod
    def _is_done(self) -> bool:
        """Whether the server's OK was the end."""
