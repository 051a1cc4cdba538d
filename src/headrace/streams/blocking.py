"""The publisher and the subscriber for programs without asyncio.

The asynchronous ones do the work, in a loop in a thread that all of a process share. Methods may be
called from several threads. What must not enter: how streams work.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from headrace.streams.connecting import Connecting
from headrace.streams.publisher import AsyncPublisher
from headrace.streams.subscriber import AsyncSubscriber, Received, Start
from headrace.wire.cloudevents import Event
from headrace.wire.headrace_v1 import Settlement

__all__ = ["Publisher", "Subscriber"]

T = TypeVar("T")


_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _shared_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="headrace-streams", daemon=True).start()
        return _loop


class _Blocking:
    """Open from the start."""

    def __init__(self, stream: Connecting) -> None:
        """Raises StreamError, TimeoutError."""
        self._stream = stream
        self._loop = _shared_loop()
        self._run(stream.open())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._stream.__aexit__(kind, error, trace))

    def close(self) -> None:
        """End well. Raises StreamError, TimeoutError."""
        self._run(self._stream.close())


class Publisher(_Blocking):
    """As `AsyncPublisher`."""

    def __init__(self, target: str, topic: str, **options: Any) -> None:
        """`options` of AsyncPublisher. Raises StreamError, TimeoutError."""
        self._publisher = AsyncPublisher(target, topic, **options)
        super().__init__(self._publisher)

    @property
    def stream_id(self) -> str:
        return self._publisher.stream_id

    @property
    def next_offset(self) -> int:
        return self._publisher.next_offset

    @property
    def committed(self) -> int:
        return self._publisher.committed

    def send(self, *events: Event) -> int:
        return self._run(self._publisher.send(*events))

    def flush(self, timeout_s: float | None = None) -> None:
        self._run(self._publisher.flush(timeout_s))


class Subscriber(_Blocking):
    """As `AsyncSubscriber`."""

    def __init__(
        self, target: str, topic: str, group: str, *, start: Start = "latest", **options: Any
    ) -> None:
        """`options` of AsyncSubscriber. Raises ValueError, StreamError, TimeoutError."""
        self._subscriber = AsyncSubscriber(target, topic, group, start=start, **options)
        self._here = self._subscriber.settle
        self._subscriber.settle = self._settle
        super().__init__(self._subscriber)

    def receive(self, timeout_s: float | None = None) -> Received:
        received = self._subscriber.received()
        return received or self._run(self._subscriber.receive(timeout_s))

    def __iter__(self) -> Iterator[Received]:
        """Without end; raises StreamError when it cannot go on."""
        while True:
            yield self._subscriber.received() or self._run(self._subscriber.__anext__())

    def _settle(self, connection: int, settlement: Settlement) -> None:
        self._loop.call_soon_threadsafe(self._here, connection, settlement)
