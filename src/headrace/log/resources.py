"""What the logs of one data directory share: loop, threads, flusher, open sealed segments.

What must not enter: the state of any one log.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from headrace.log.flusher import Flusher
from headrace.log.segment import Segment

__all__ = ["Resources", "SealedSegments"]

READING_THREADS: Final = 4
"""Threads that wait for the disk for somebody: cold reads, starts."""
UPKEEP_THREADS: Final = 4
"""Threads that wait for the disk for nobody in particular: checkpoints, deletions."""
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


class Resources:
    """`flusher` is None when nothing is to be synced before it is acknowledged."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        flusher: Flusher | None,
        now_ms: Callable[[], int],
    ) -> None:
        self.loop = loop
        self.flusher = flusher
        self.now_ms = now_ms
        self.sealed = SealedSegments()
        self._reading = ThreadPoolExecutor(READING_THREADS, thread_name_prefix="headrace-read")
        self._cleaning = ThreadPoolExecutor(1, thread_name_prefix="headrace-clean")
        self._upkeep = ThreadPoolExecutor(UPKEEP_THREADS, thread_name_prefix="headrace-upkeep")

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Do blocking work that somebody waits for."""
        return await self.loop.run_in_executor(self._reading, work, *arguments)

    async def tend(self, work: Callable[..., T], *arguments: object) -> T:
        """Do blocking work that may take its time."""
        return await self.loop.run_in_executor(self._upkeep, work, *arguments)

    async def clean(self, work: Callable[..., T], *arguments: object) -> T:
        """Do work that takes long: one at a time, and nothing else waits for it."""
        return await self.loop.run_in_executor(self._cleaning, work, *arguments)

    def tend_soon(self, work: Callable[[], None]) -> None:
        """Do blocking work that nobody waits for."""
        self._upkeep.submit(work)

    def close(self) -> None:
        """End the threads, when they are done. Blocks."""
        if self.flusher is not None:
            self.flusher.close()
        self._reading.shutdown()
        self._cleaning.shutdown()
        self._upkeep.shutdown()
