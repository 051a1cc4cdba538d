"""A thread that does what it is handed: all that waits at once, in the order of handing in.

Both the flusher and the catalog's writer are this thread with different work; what they have in
common is group commit. The work itself knows no thread, so that the simulator (`sim/`) can do it
step by step on a clock of its own. What must not enter: what the work is.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

__all__ = ["Worker"]

ITEMS_MAX: Final = 1 << 20
"""Handed to `work` at once, unless the maker says less."""

T = TypeVar("T")


def _nothing() -> None:
    """Before the first item, or after the last."""


class Worker(Generic[T]):
    """Started by the maker's thread with `start`, ended with `end`. The queue has no bound of its
    own: whoever hands in keeps one."""

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], None],
        *,
        items_max: int = ITEMS_MAX,
        begin: Callable[[], None] = _nothing,
        end: Callable[[], None] = _nothing,
    ) -> None:
        """In the thread: `begin` once, `work` with one to `items_max` items each time, `end` once.
        None of them may raise."""
        self._work = work
        self._items_max = items_max
        self._begin = begin
        self._end = end
        self._queue: SimpleQueue[T | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: T) -> None:
        """Any thread. Not after `end`."""
        self._queue.put(item)

    def end(self) -> None:
        """Finish what was handed in, then end. Idempotent."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _run(self) -> None:
        self._begin()
        while items := self._next():
            self._work(items)
        self._end()

    def _next(self) -> list[T]:
        """What is waiting; empty when that is the end."""
        items: list[T] = []
        while (item := self._queue.get()) is not None:
            items.append(item)
            if len(items) == self._items_max or self._queue.empty():
                return items
        if items:
            self._queue.put(None)  # for the next time
        return items
