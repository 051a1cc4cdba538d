"""Changes that, once begun, go on to their end even if who asked for them hangs up.

A change has a durable half and one in memory; cancelled in between, the two would disagree.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Changes"]

T = TypeVar("T")


class Changes:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, change: Coroutine[Any, Any, T]) -> T:
        """Run `change` as a task of its own; returns or raises what it does."""
        return await asyncio.shield(self.start(change))

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
