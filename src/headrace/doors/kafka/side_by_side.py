"""Work on the many items of one request: some at a time, so that they share commits, and not all at
once, so that a request of a million names cannot make a million tasks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Final, TypeVar

__all__ = ["side_by_side"]

AT_ONCE_MAX: Final = 64

T = TypeVar("T")
R = TypeVar("R")


async def side_by_side(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """What `work` returns for each of the items, in their order."""
    results: list[R] = []
    waiting = iter(items)
    while some := list(islice(waiting, AT_ONCE_MAX)):
        results += await asyncio.gather(*map(work, some))
    return results
