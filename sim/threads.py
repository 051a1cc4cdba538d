"""The product's threads, as steps of the loop that they belong to.

`StepWorker` stands for `headrace.worker.Worker`, `StepExecutor` for a thread pool. A step is done
whole at one moment; what it tells its loop arrives later, so the loop goes on in between, as it
does beside a thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from sim.loop import SimLoop

__all__ = ["StepExecutor", "StepWorker"]

ITEMS_MAX: Final = 1 << 20

T = TypeVar("T")


def _nothing() -> None:
    """Before the first item, or after the last."""


def _current_loop() -> SimLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    return loop


class StepWorker(Generic[T]):
    """As `headrace.worker.Worker`, made in a loop that is simulated."""

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], None],
        *,
        items_max: int = ITEMS_MAX,
        begin: Callable[[], None] = _nothing,
        end: Callable[[], None] = _nothing,
    ) -> None:
        self._work = work
        self._items_max = items_max
        self._begin = begin
        self._end = end
        self._loop = _current_loop()
        self._queue: deque[T] = deque()
        self._step_is_due = False
        self._busy_until_ns = 0
        self._has_begun = self._is_ending = self._has_ended = False

    def start(self) -> None:
        self._step_soon()

    def put(self, item: T) -> None:
        self._queue.append(item)
        self._step_soon()

    def end(self) -> None:
        self._is_ending = True
        self._step_soon()

    def join(self) -> None:
        """What is left is done now: whoever joins waits, and nothing else happens meanwhile."""
        while not self._has_ended and not self._loop.is_dead:
            self._do_step()

    def _step_soon(self) -> None:
        if not self._step_is_due:
            self._step_is_due = True
            self._loop.in_thread(self._step, self._busy_until_ns)

    def _step(self) -> None:
        self._step_is_due = False
        self._do_step()
        self._busy_until_ns = self._loop.posted_ns
        if not self._has_ended and (self._queue or self._is_ending):
            self._step_soon()

    def _do_step(self) -> None:
        if self._has_ended:
            return
        if not self._has_begun:
            self._has_begun = True
            self._begin()
        elif self._queue:
            queue = self._queue
            self._work([queue.popleft() for _ in range(min(len(queue), self._items_max))])
        elif self._is_ending:
            self._has_ended = True
            self._end()


class StepExecutor:
    """A pool whose work is done at once, by whoever hands it in."""

    def __init__(self, *_: object, **__: object) -> None:
        """Arguments as `ThreadPoolExecutor`'s: how many threads, and what they are called."""

    def submit(self, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 - it is the waiting one's
            future.set_exception(error)
        return future

    def shutdown(self, *_: object, **__: object) -> None:
        """Nothing is under way."""
