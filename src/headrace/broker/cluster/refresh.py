"""Taking up what others changed: one round at a time, shared by everybody who asks meanwhile.

What must not enter: what is taken up.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Refresh"]


class Refresh:
    """Call it and await: on return a whole round of `work` has run that began after the call."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        """Waits for its turn; whoever asks now may share it."""

    async def __call__(self) -> None:
        """Raises what `work` raises; goes on if the caller hangs up."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._round())
            self._next.add_done_callback(_look_at)
        await asyncio.shield(self._next)

    async def _round(self) -> None:
        async with self._turn:
            self._next = None
            await self._work()


def _look_at(ended: "asyncio.Task[None]") -> None:
    """Whoever asked may have gone, and nobody would look at why it failed."""
    if not ended.cancelled():
        ended.exception()
