"""Looks at what partitions carry now and then, and tells the groups that are assigned by it.

A group hears it at every look; it is assigned anew because of it at most once a look, only while it
is settled, and only when that is worth it (`groups.balanced`). Nobody hears of the first looks
after a start: what clients do then says little about the load.

What must not enter: how a load is made out (`load`), who gets what.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from headrace.broker.load import PartitionLoads

__all__ = ["LoadWatch"]

log = logging.getLogger("headrace.groups")

GROUPS_PER_TURN_MAX: Final = 8
"""Groups told before the event loop gets its turn: each may be assigned anew."""


class _Groups(Protocol):
    def ids(self) -> Iterable[str]: ...
    def weigh(self, group_id: str, *, may_move: bool) -> None: ...


class LoadWatch:
    """Made with the broker; `start` begins to look, `close` ends it."""

    def __init__(
        self,
        loads: PartitionLoads,
        groups: _Groups,
        interval_ms: int,
        steady_ms: Callable[[], int],
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`refresh` brings up to date what is counted elsewhere."""
        self._refresh = refresh
        self._loads = loads
        self._groups = groups
        self._interval_s = interval_ms / 1000
        self._steady_ms = steady_ms
        self._looked_ms = steady_ms()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look_for_ever(), name="load watch")

    async def close(self) -> None:
        """Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """One look at all partitions and groups."""
        if self._refresh is not None:
            await self._refresh()
        now_ms = self._steady_ms()
        elapsed_s, self._looked_ms = (now_ms - self._looked_ms) / 1000, now_ms
        await self._loads.look(elapsed_s)
        if not self._loads.is_smooth:
            return
        for count, group_id in enumerate(self._groups.ids(), start=1):
            self._groups.weigh(group_id, may_move=True)
            if count % GROUPS_PER_TURN_MAX == 0:
                await asyncio.sleep(0)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.look()
            except Exception:  # one look that fails must not be the last
                log.exception("looking at what partitions carry failed")
