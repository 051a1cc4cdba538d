"""Compaction of one log: when it is due, a pass in a thread, and the swaps it leads to.

    log.start           clean until             limit             active segment
    |--- cleaned before ---|------ dirty ---------|--- not yet ----|-----
                           `fill_map` reads this
    `clean` rewrites all of this, group by group ---|

The limit is the last stable offset or where records are younger than they may be; whole sealed
segments before it that a checkpoint lists are worked on, never the active one. Reading and writing
are done in a thread of their own, one pass at a time in a data directory; only the swap of files
holds the log's `upkeep` lock. Readers that hold a slice of a source keep its file.

What must not enter: which log of many comes first, configuration's names.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from headrace.log import disk, upkeep
from headrace.log.checkpoint import remove_if_there
from headrace.log.cleaning import MapTooSmallError, Pace, Rules, Stopped, clean, fill_map
from headrace.log.contract import CleaningDone, CleaningState, CorruptLogError
from headrace.log.files import OpenFile
from headrace.log.key_map import KeyMap
from headrace.log.segment import Segment
from headrace.log.swap import (
    Journal,
    Swap,
    cleaned_path,
    read_journal,
    replace_files,
    write_journal,
)
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.log.local import LocalLog

__all__ = ["Compaction"]

GROUP_OFFSETS_MAX: Final = (1 << 31) - 1
"""Of segments that are merged: as many as fit in one hole."""

_NOTHING_DONE: Final = CleaningDone(0, 0)

_log = logging.getLogger(__name__)


class Compaction:
    """Loop thread only."""

    def __init__(self, log: "LocalLog", clean_until: int) -> None:
        self._log = log
        # A log whose end was cut off by a repair begins anew there.
        self._clean_until = min(clean_until, log.segments.active.base_offset)
        self._failure: str | None = None
        self._warned = ""
        """What was said last of a disk that is full, or fails: tried again, it is no news."""
        self._running: asyncio.Task[CleaningDone] | None = None
        self._stopping = threading.Event()
        self._is_swap_open = False
        """A swap is done, and perhaps no checkpoint lists its result yet."""

    def state(self, now_ms: int) -> CleaningState:
        """As `PartitionLog.cleaning`."""
        segments = self._segments(now_ms)
        clean_until = self._clean_from_start()
        dirty = [segment for segment in segments if segment.end_offset > clean_until]
        dirty_bytes = sum(segment.size_bytes for segment in dirty)
        clean_bytes = sum(segment.size_bytes for segment in segments) - dirty_bytes
        state = CleaningState(clean_bytes, dirty_bytes, False, self._failure)
        if not dirty or self._failure is not None:
            return state
        config = self._log.config
        waited_ms = now_ms - dirty[0].first_append_ms
        is_due = (
            state.dirty_ratio > config.dirty_ratio_min or waited_ms > config.compaction_lag_ms_max
        )
        return state._replace(is_due=is_due)

    async def run(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        """As `PartitionLog.clean`."""
        if self._running is not None or self._stopping.is_set() or self._failure is not None:
            return _NOTHING_DONE
        self._running = asyncio.ensure_future(self._run(now_ms, map_bytes_max))
        self._running.add_done_callback(self._ended)
        return await asyncio.shield(self._running)

    async def stop(self) -> None:
        """End the pass under way and begin no other."""
        self._stopping.set()
        if self._running is not None:
            await asyncio.wait([self._running])

    def _ended(self, running: "asyncio.Task[CleaningDone]") -> None:
        self._running = None
        if not running.cancelled():
            running.exception()  # who asked may have gone; it was logged

    def _clean_from_start(self) -> int:
        return max(self._clean_until, self._log.start_offset)

    def _segments(self, now_ms: int) -> list[Segment]:
        """The segments that a pass may work on."""
        log = self._log
        last_stable = log.offsets().last_stable
        clean_until = self._clean_from_start()
        youngest_ms = now_ms - log.config.compaction_lag_ms_min

        def is_ready(segment: Segment) -> bool:
            return (
                segment is not log.segments.active
                and segment.is_index_saved
                and segment.end_offset <= last_stable
                and (
                    segment.end_offset <= clean_until
                    or log.config.compaction_lag_ms_min == 0
                    or segment.max_timestamp <= youngest_ms
                )
            )

        return list(takewhile(is_ready, log.segments))

    async def _run(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        try:
            return await self._pass(now_ms, map_bytes_max)
        except Stopped:
            return _NOTHING_DONE
        except (CorruptLogError, MapTooSmallError) as error:
            self._failure = str(error)
            _log.error("%s is not compacted any more: %s", self._log.directory, error)
            raise RequestError(ErrorCode.CORRUPT_MESSAGE, str(error)) from error
        except OSError as error:
            if str(error) != self._warned:
                self._warned = str(error)
                _log.warning("%s was not compacted: %s", self._log.directory, error)
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error

    async def _pass(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        log = self._log
        if self._is_swap_open:
            async with log.upkeep:
                await self._close_swap()
        segments = self._segments(now_ms)
        dirty_from = self._clean_from_start()
        if not segments or segments[-1].end_offset <= dirty_from:
            return _NOTHING_DONE
        rules = Rules(
            now_ms,
            log.config.delete_retention_ms,
            log.config.index_interval_bytes,
            log.producer_table.last_offsets(),
        )
        keys_max = segments[-1].end_offset - dirty_from
        pace = Pace(self._stopping)
        work = log.resources.clean
        key_map = await work(KeyMap, map_bytes_max, keys_max)
        read_bytes = freed_bytes = 0
        try:
            aborted = log.aborted_between(dirty_from, segments[-1].end_offset)
            until = await work(fill_map, segments, dirty_from, key_map, aborted, pace)
            for group in _groups(segments, until, log.config.segment_bytes):
                path = cleaned_path(group[0])
                aborted = log.aborted_between(group[0].base_offset, group[-1].end_offset)
                segment = await work(clean, group, path, key_map, until, rules, aborted, pace)
                size_bytes = sum(source.size_bytes for source in group)
                read_bytes += size_bytes
                if segment is not None:
                    freed_bytes += size_bytes - segment.size_bytes
                    await self._swap(group, segment, path)
        except FileNotFoundError as error:
            if not log.segments.holds(segments[0].base_offset):  # retention was quicker
                raise Stopped from error
            raise
        await log.resources.tend(write_journal, log.directory, Journal(until))
        self._clean_until = until
        self._warned = ""
        return CleaningDone(read_bytes, freed_bytes)

    async def _swap(self, sources: Sequence[Segment], segment: Segment, path: str) -> None:
        """Put `segment`, whose file is at `path`, in the place of `sources`: see `swap`."""
        log = self._log
        async with log.upkeep:
            if log.failed or self._stopping.is_set() or any(one.dropped for one in sources):
                await log.resources.tend(remove_if_there, path)
                raise Stopped
            swap = Swap(tuple(source.base_offset for source in sources), segment.facts())
            try:
                segment.file = OpenFile(await log.resources.tend(_open_synced, path))
                await self._decide(swap)
            except OSError:
                segment.close_file()
                if not log.failed:  # a full disk needs the space
                    await log.resources.tend(remove_if_there, path)
                raise
            # Until its files are in place the new segment stays open, since it is not saved:
            # nobody opens it by its name.
            log.segments_replaced(sources, segment)
            try:
                await log.resources.tend(replace_files, log.directory, swap)
            except OSError as error:
                log.go_offline(f"{log.directory} is offline, a compaction broke off: {error}")
                raise
            self._is_swap_open = True
            await self._close_swap()

    async def _decide(self, swap: Swap) -> None:
        """Step 2. Raises OSError when it is not decided; when that is not known, the log goes
        offline, since the next start decides."""
        log = self._log
        try:
            journal = Journal(self._clean_until, swap)
            await log.resources.tend(write_journal, log.directory, journal)
        except OSError as error:
            if await log.resources.tend(_may_be_decided, log.directory):
                log.go_offline(f"{log.directory} is offline, a compaction broke off: {error}")
            raise

    async def _close_swap(self) -> None:
        """Steps 4 and 5."""
        log = self._log
        log.saved = None
        await upkeep.save(log)
        await log.resources.tend(write_journal, log.directory, Journal(self._clean_until))
        self._is_swap_open = False


def _may_be_decided(directory: str) -> bool:
    """Whether the journal has a swap, or cannot be read: the disk may have it all the same."""
    try:
        return read_journal(directory).swap is not None
    except OSError:
        return True


def _open_synced(path: str) -> int:
    """The new file, whose name is durable."""
    disk.fsync_directory(os.path.dirname(path))
    return disk.open_file(path, os.O_RDWR)


def _groups(segments: Sequence[Segment], until: int, bytes_max: int) -> list[list[Segment]]:
    """What becomes one segment each: neighbours that fit into one together. Segments from `until`
    on are left alone."""
    groups: list[list[Segment]] = []
    size_bytes = 0
    for segment in segments:
        if segment.base_offset >= until:
            break
        size_bytes += segment.size_bytes
        if (
            not groups
            or size_bytes > bytes_max
            or segment.end_offset - groups[-1][0].base_offset > GROUP_OFFSETS_MAX
        ):
            groups.append([])
            size_bytes = segment.size_bytes
        groups[-1].append(segment)
    return groups
