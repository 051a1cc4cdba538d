"""What has been opened and is to be closed again: all of it, also when a part of it cannot be.

What must not enter: what a part is.
"""

import logging
from collections.abc import Awaitable, Callable

__all__ = ["CloseError", "Parts"]

log = logging.getLogger("headrace")


class CloseError(Exception):
    """Which parts were not closed properly, and why; the others were."""


class Parts:
    """The parts of a thing, in the order in which they were opened."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    def add(self, name: str, close: Callable[[], Awaitable[None]]) -> None:
        """A part that is open now; `name` is for the error message."""
        self._parts.append((name, close))

    async def close(self) -> None:
        """Close what was opened last first. Idempotent. Raises CloseError at the end."""
        failures = []
        while self._parts:
            name, close = self._parts.pop()
            try:
                await close()
            except Exception as error:
                log.error("closing %s failed", name, exc_info=error)
                failures.append(f"{name}: {error}")
        if failures:
            raise CloseError("; ".join(failures))
