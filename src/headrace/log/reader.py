"""Reads of one log: by offset as a range of a file, by time as a record.

A reader that goes on where it stopped costs no search: `_hints` remembers where the offsets lie
that are likely to be asked for next. A read that finds all it needs in the page cache never leaves
the loop's thread; headers that would have to come from the disk are walked in a thread.

What must not enter: what may be read (start and high watermark are given), appending.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from headrace.log import disk
from headrace.log.checking import (
    checked_cut,
    find_cut_beyond,
    needs_check,
    remember_checked,
)
from headrace.log.contract import MAX_TIMESTAMP, CorruptLogError, Slice
from headrace.log.files import OpenFile
from headrace.log.index import NO_TIMESTAMP, SparseIndex
from headrace.log.reading import EMPTY_SLICE, Cut, Wanted, find_cut, open_segment
from headrace.log.resources import Resources
from headrace.log.searching import Found, Readable, find_first, find_youngest
from headrace.log.segment import BadBatchError, Segment, Tail, cached_reader_of, reader_of
from headrace.log.segments import Segments
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["Reader"]

HINTS_MAX: Final = 64
"""Places remembered a log, one for each reader that goes its own way."""
HOT_TAIL_BYTES: Final = 16 * 1024 * 1024
"""What this process wrote last to a log is taken to be in the page cache, without asking."""

REPLACED_MAX: Final = 8
"""Times in a row that a read finds its segment replaced by compaction before it gives up."""

_NOWHERE: Final = None, -1

_log = logging.getLogger(__name__)


class SegmentGone(Exception):
    """It was deleted, or replaced, while it was being opened."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment.path)
        self.segment = segment


class Reader:
    """Loop thread only. `interval_bytes` is for indexes that must be rebuilt."""

    def __init__(self, resources: Resources, segments: Segments, interval_bytes: int) -> None:
        self._resources = resources
        self._segments = segments
        self.interval_bytes = interval_bytes
        self._written_from = segments.active.end_bytes
        self._hints: dict[int, tuple[Segment, int]] = {}
        self._refused_last = ""

    async def read(
        self, offset: int, size_bytes_max: int, readable: Tail, *, at_least_one: bool
    ) -> Slice:
        """As `PartitionLog.read`, for an offset that is there and below the high watermark.
        Raises RequestError: CORRUPT_MESSAGE for damage met, OFFSET_OUT_OF_RANGE when the segment
        was deleted meanwhile, KAFKA_STORAGE_ERROR when it cannot be read."""
        segment, position, file = await self._place(offset)
        try:
            limit_offset, limit_position = segment.end_offset, segment.size_bytes
            if segment is readable[1]:
                limit_offset, _, limit_position = readable
            wanted = Wanted(
                offset, position, size_bytes_max, at_least_one, limit_position, limit_offset
            )
            cut, hot = await self._cut(segment, file.fd, wanted)
            if cut.position < segment.known_from and needs_check(segment, cut):
                cut = await self._checked(segment, file.fd, wanted, cut)
        except BaseException:
            file.release()
            raise
        if cut.end == cut.position:
            file.release()
            return EMPTY_SLICE
        self._remember(cut.next_offset, segment, cut.end)
        size = cut.end - cut.position
        cold = not hot and not disk.is_cached(file.fd, cut.position, size)
        return Slice(file.fd, cut.position, size, cold, file.release, cut.next_offset)

    async def place_of(self, offset: int, readable: Tail) -> Tail:
        """Where the batch that begins at `offset`, somewhere below the high watermark, lies.
        Raises as `read`."""
        segment, position = self._hints.get(offset, _NOWHERE)
        if segment is None or position == segment.size_bytes:
            segment = self._segments.find(offset)
            file = await self._opened(segment)
            try:
                limit = readable[2] if segment is readable[1] else segment.size_bytes
                wanted = Wanted(offset, -1, 0, False, limit, readable[0])
                cut, _ = await self._cut(segment, file.fd, wanted)
            finally:
                file.release()
            position = cut.position
            self._remember(offset, segment, position)
        return offset, segment, position

    async def _place(self, offset: int) -> tuple[Segment, int, OpenFile]:
        """The segment with `offset`, its file, and the position of the batch if it is known."""
        for _ in range(REPLACED_MAX):
            segment, position = self._hints.get(offset, _NOWHERE)
            if segment is None or segment.dropped or position == segment.size_bytes:
                segment, position = self._segments.find(offset), -1  # it went on elsewhere
            try:
                return segment, position, await self._opened(segment)
            except SegmentGone as gone:
                last = gone.segment
                if not self._segments.holds(offset):
                    break
        raise _deleted(last)

    def bytes_between(self, offset: int, readable: Tail) -> int:
        """About how many bytes lie from `offset` on to the high watermark."""
        high_watermark, last, limit = readable
        if offset >= high_watermark:
            self._remember(high_watermark, last, limit)
            return 0
        segment, position = self._hints.get(offset, _NOWHERE)
        if segment is None or segment.dropped:
            segment = self._segments.find(offset)
            position = _about_at(segment, offset)
        return max(1, last.start_bytes + limit - segment.start_bytes - position)

    def forget(self) -> None:
        """Segments were deleted."""
        self._hints.clear()

    async def find_time(self, timestamp_ms: int, start: int, readable: Tail) -> Found | None:
        """As `PartitionLog.offset_for_time`, for records from `start` to the high watermark."""
        for _ in range(REPLACED_MAX):
            try:
                if timestamp_ms == MAX_TIMESTAMP:
                    return await self._find_youngest(start, readable)
                return await self._find_first(timestamp_ms, start, readable)
            except SegmentGone as gone:
                last = gone.segment
        raise _deleted(last)

    async def _find_first(self, timestamp_ms: int, start: int, readable: Tail) -> Found | None:
        for segment in self._readable_segments(start, readable):
            if segment.max_timestamp >= timestamp_ms:
                found = await self._search(segment, timestamp_ms, timestamp_ms, start, readable)
                if found is not None:
                    return found
        return None

    async def _find_youngest(self, start: int, readable: Tail) -> Found | None:
        youngest: Found | None = None
        for segment in self._readable_segments(start, readable):
            if youngest is None or segment.max_timestamp > youngest.timestamp_ms:
                found = await self._search(
                    segment, MAX_TIMESTAMP, segment.max_timestamp, start, readable
                )
                if found is None or found.timestamp_ms < segment.max_timestamp:
                    # The youngest may not be read: look at all that may.
                    found = await self._search(
                        segment, MAX_TIMESTAMP, NO_TIMESTAMP, start, readable
                    )
                if youngest is None or (found and found.timestamp_ms > youngest.timestamp_ms):
                    youngest = found
        return youngest

    def _readable_segments(self, start: int, readable: Tail) -> Iterator[Segment]:
        for segment in list(self._segments):
            if start < segment.end_offset and segment.base_offset < readable[0]:
                yield segment

    async def _search(
        self, segment: Segment, wanted_ms: int, from_ms: int, start: int, readable: Tail
    ) -> Found | None:
        """Search one segment, from where its index knows only times before `from_ms`."""
        file = await self._opened(segment)
        try:
            entry = segment.index.at_time(from_ms)
            limit = readable[2] if segment is readable[1] else segment.size_bytes
            where = Readable(reader_of(file.fd), entry, start, limit)
            if entry.position >= limit:
                return None
            if wanted_ms == MAX_TIMESTAMP:
                return await self._resources.read(find_youngest, where)
            return await self._resources.read(find_first, where, wanted_ms)
        except BadBatchError as error:
            raise self._refusal(ErrorCode.CORRUPT_MESSAGE, _damage(segment, error)) from error
        except OSError as error:
            raise self._refusal(ErrorCode.KAFKA_STORAGE_ERROR, _why(segment, error)) from error
        finally:
            file.release()

    async def _cut(self, segment: Segment, fd: int, wanted: Wanted) -> tuple[Cut, bool]:
        """The cut, and whether it is known to be hot."""
        hot_from = max(self._written_from, self._segments.active.end_bytes - HOT_TAIL_BYTES)
        index = segment.index
        position = wanted.position
        if position < 0:
            position = index.at_offset(wanted.offset).position
        hot = segment.start_bytes + position >= hot_from
        try:
            try:
                read = reader_of(fd) if hot else cached_reader_of(fd)
                cut = find_cut(read, index, wanted)
            except BlockingIOError:
                cut = await self._resources.read(find_cut, reader_of(fd), index, wanted)
            except BadBatchError as error:
                cut = await self._cut_beyond(segment, fd, wanted, error)
        except BadBatchError as error:
            raise self._refusal(ErrorCode.CORRUPT_MESSAGE, _damage(segment, error)) from error
        except OSError as error:
            raise self._refusal(ErrorCode.KAFKA_STORAGE_ERROR, _why(segment, error)) from error
        return cut, segment.start_bytes + cut.position >= hot_from

    async def _cut_beyond(
        self, segment: Segment, fd: int, wanted: Wanted, damage: BadBatchError
    ) -> Cut:
        """The cut for an offset behind `damage`, which does not tell where the next batch starts.
        Raises BadBatchError, `damage` if the offset is not found there, OSError."""
        beyond = None
        if wanted.position < 0:
            beyond = await self._resources.read(find_cut_beyond, fd, segment.index, wanted)
        if beyond is None:
            raise damage
        return beyond

    async def _checked(self, segment: Segment, fd: int, wanted: Wanted, cut: Cut) -> Cut:
        """As much of `cut`, which answers `wanted`, as is good. Raises RequestError:
        CORRUPT_MESSAGE if it is the first batch that is not, KAFKA_STORAGE_ERROR."""
        try:
            try:
                checked = await self._resources.read(checked_cut, fd, cut)
            except BadBatchError as error:
                cut = await self._cut_beyond(segment, fd, wanted, error)
                checked = await self._resources.read(checked_cut, fd, cut)
        except BadBatchError as error:
            raise self._refusal(ErrorCode.CORRUPT_MESSAGE, _damage(segment, error)) from error
        except OSError as error:
            raise self._refusal(ErrorCode.KAFKA_STORAGE_ERROR, _why(segment, error)) from error
        if checked.damage:
            _log.warning(
                "%s is damaged at position %d (offset %d): %s",
                *(segment.path, checked.cut.end, checked.cut.next_offset, checked.damage),
            )
        remember_checked(segment, checked.cut)
        return checked.cut

    async def _opened(self, segment: Segment) -> OpenFile:
        """The segment's file, held for the caller, with its index in memory."""
        file = segment.file
        while file is None or not segment.is_index_loaded:  # it may be unloaded meanwhile
            file = await self._open(segment)
        if segment is not self._segments.active and segment.is_index_saved:
            self._resources.sealed.used(segment)
        return file.acquire()

    async def _open(self, segment: Segment) -> OpenFile:
        opening = asyncio.ensure_future(
            self._resources.read(
                open_segment, segment, self.interval_bytes, not segment.is_index_loaded
            )
        )
        try:
            fd, index = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        except CorruptLogError as error:
            raise self._refusal(ErrorCode.CORRUPT_MESSAGE, str(error)) from error
        except OSError as error:
            if segment.dropped:
                raise SegmentGone(segment) from error
            raise self._refusal(ErrorCode.KAFKA_STORAGE_ERROR, _why(segment, error)) from error
        file = OpenFile(fd)
        if segment.dropped:
            file.release()
            raise SegmentGone(segment)
        if segment.file is None:
            segment.file = file
        else:
            file.release()
        if index is not None and not segment.is_index_loaded:
            segment.index = index
            segment.is_index_loaded = True
        return segment.file

    def _refusal(self, code: ErrorCode, message: str) -> RequestError:
        """Logged when it is news: a reader that comes again and again is not."""
        if message != self._refused_last:
            self._refused_last = message
            _log.error("%s", message)
        return RequestError(code, message)

    def _remember(self, offset: int, segment: Segment, position: int) -> None:
        hints = self._hints
        if offset not in hints and len(hints) >= HINTS_MAX:
            del hints[next(iter(hints))]
        hints[offset] = segment, position


def _close_unwanted(opening: "asyncio.Future[tuple[int, SparseIndex | None]]") -> None:
    """The reader went away while its segment was being opened."""
    if not opening.cancelled() and opening.exception() is None:
        disk.release(opening.result()[0])


def _about_at(segment: Segment, offset: int) -> int:
    """About where in the segment `offset` lies, from what is in memory."""
    if len(segment.index):
        return segment.index.at_offset(offset).position
    span = segment.end_offset - segment.base_offset
    return (offset - segment.base_offset) * segment.size_bytes // max(span, 1)


def _damage(segment: Segment, error: BadBatchError) -> str:
    return f"{segment.path} is damaged {error}"


def _why(segment: Segment, error: OSError) -> str:
    return f"{segment.path} cannot be read: {error}"


def _deleted(segment: Segment) -> RequestError:
    message = f"offsets below {segment.end_offset} were deleted"
    return RequestError(ErrorCode.OFFSET_OUT_OF_RANGE, message)
