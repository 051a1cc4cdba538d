"""What the logs of one data directory share: loop, threads, flusher, open sealed segments.

What must not enter: the state of any one log.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from headrace.log.flusher import Flusher
from headrace.log.segment import Segment

__all__ = ["DISK_THREADS", "Resources", "SealedSegments"]

DISK_THREADS: Final = 4
"""Threads that may wait for the disk: cold reads, checkpoints, deletions, starts."""
SEALED_OPEN_MAX: Final = 512
"""Sealed segments kept open for readers, in one data directory: one descriptor each."""
SEALED_INDEX_BYTES_MAX: Final = 64 * 1024 * 1024
"""What the indexes of those may take in memory."""

T = TypeVar("T")


class SealedSegments:
    """The sealed segments that were read lately, open and with their index; the least recently
    read is closed when there are too many. Slices keep their file open by themselves."""

    def __init__(self) -> None:
        self._by_use: OrderedDict[Segment, int] = OrderedDict()
        self._index_bytes = 0

    def __len__(self) -> int:
        return len(self._by_use)

    def used(self, segment: Segment) -> None:
        """The segment, saved and synced, was opened or is read again."""
        if segment in self._by_use:
            self._by_use.move_to_end(segment)
            return
        size = segment.index.size_bytes
        self._by_use[segment] = size
        self._index_bytes += size
        while len(self._by_use) > 1 and (
            len(self._by_use) > SEALED_OPEN_MAX or self._index_bytes > SEALED_INDEX_BYTES_MAX
        ):
            self.close(next(iter(self._by_use)))

    def close(self, segment: Segment) -> None:
        """Close the segment now, if it is open here."""
        size = self._by_use.pop(segment, None)
        if size is not None:
            self._index_bytes -= size
            segment.close_file()
            segment.unload_index()


@dataclass(slots=True)
class Resources:
    """`flusher` is None when nothing is to be synced before it is acknowledged."""

    loop: asyncio.AbstractEventLoop
    executor: Executor
    flusher: Flusher | None
    now_ms: Callable[[], int]
    sealed: SealedSegments = field(default_factory=SealedSegments)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do blocking work in one of the DISK_THREADS."""
        return await self.loop.run_in_executor(self.executor, work, *arguments)
