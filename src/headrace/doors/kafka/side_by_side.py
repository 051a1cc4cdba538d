"""Work on the many items of one request, and let others be served meanwhile.

Items that wait for something go some at a time, so that they share commits, and not all at once,
so that a request of many names cannot make as many tasks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Final, TypeVar

__all__ = ["in_turns", "side_by_side"]

AT_ONCE_MAX: Final = 64
TURN_ITEMS: Final = 256
"""Handled before others get their turn: about a millisecond."""

T = TypeVar("T")
R = TypeVar("R")


async def side_by_side(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """What `work` returns for each of the items, in their order."""
    results: list[R] = []
    waiting = iter(items)
    while some := list(islice(waiting, AT_ONCE_MAX)):
        results += await asyncio.gather(*map(work, some))
    return results


async def in_turns(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The same for `work` that waits for nothing."""
    results: list[R] = []
    waiting = iter(items)
    while some := list(islice(waiting, TURN_ITEMS)):
        if results:
            await asyncio.sleep(0)
        results += map(work, some)
    return results
