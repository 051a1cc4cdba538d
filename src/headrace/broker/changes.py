"""Changes that, once begun, go on to their end even if who asked for them hangs up.

A change has a durable half and one in memory; cancelled in between, the two would disagree.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from headrace.wire.errors import RequestError

__all__ = ["Changes"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Changes:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, change: Coroutine[Any, Any, T]) -> T:
        """Run `change` as a task of its own; returns or raises what it does."""
        task = self.start(change)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_unheard)
            raise

    def start(self, change: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin `change`, which nobody needs to wait for."""
        task = asyncio.ensure_future(change)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def wait(self) -> None:
        """Until no change is under way."""
        while self._running:
            await asyncio.wait(self._running)


def _unheard(task: "asyncio.Task[Any]") -> None:
    """Who asked has hung up: to be refused concerns nobody then, a mistake does."""
    if task.cancelled():
        return
    error = task.exception()
    if error is not None and not isinstance(error, RequestError):
        _log.error("a change failed, and who asked for it has gone", exc_info=error)
