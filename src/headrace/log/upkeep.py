"""What a log does now and then: checkpoints, retention, moving its start, closing.

Each of these waits for the disk in a thread and holds the log's `upkeep` lock, so that they come
one after the other; appends and reads go on meanwhile. Nor is one given up with who asked for it:
a thread that still writes would meet the next one at the same files.

The order of writes is what makes a crash harmless at any point: a checkpoint is written only when
what it speaks of is synced, and files go only when a checkpoint that does without them is durable.

What must not enter: the hot road.
"""

import errno
import logging
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.log import disk
from headrace.log.checkpoint import CHECKPOINT_NAME, Checkpoint, remove_if_there, write_durably
from headrace.log.contract import LATEST
from headrace.log.retention import expired_segments, should_roll
from headrace.log.segment import Segment
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.log.local import LocalLog

__all__ = [
    "CHECKPOINT_BYTES",
    "checkpoint_in_background",
    "close",
    "delete_before",
    "discard",
    "save",
    "tidy",
]

CHECKPOINT_BYTES: Final = 64 * 1024 * 1024
"""Appended since the last checkpoint, before the next: about the most that a start must read."""

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_log = logging.getLogger(__name__)


async def checkpoint_in_background(log: "LocalLog") -> None:
    """A checkpoint that nobody waits for: if it fails, the next one comes later."""
    async with log.upkeep:
        if log.is_closing or log.failed:
            return
        try:
            await _save(log, log.start_offset, [])
        except (RequestError, OSError) as error:
            _log.warning("%s: no checkpoint was written: %s", log.directory, error)


async def delete_before(log: "LocalLog", offset: int) -> int:
    """As `PartitionLog.delete_before`."""
    async with log.upkeep:
        log.check()
        high_watermark = log.readable[0]
        if offset == LATEST:
            offset = high_watermark
        if not 0 <= offset <= high_watermark:
            raise RequestError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"the start can move to {high_watermark} at most, not to {offset}",
            )
        if offset > log.start_offset and offset == log.tail[0] and log.segments.active.size_bytes:
            log.roll()
        if offset > log.start_offset or log.doomed:
            await _move_start(log, max(offset, log.start_offset))
        return log.start_offset


async def tidy(log: "LocalLog", now_ms: int) -> int:
    """As `PartitionLog.tidy`. A log that nothing was appended to since the last time also gets
    its checkpoint, and gives back its descriptor."""
    log.producer_table.forget_idle(now_ms)
    await _rest(log)
    if should_roll(log.segments.active.facts(), log.config, now_ms):
        try:
            log.roll()
        except RequestError as error:  # a full disk needs what follows the more
            _log.warning("%s: the active segment was not rolled: %s", log.directory, error)
    if len(log.segments) == 1 and not log.doomed:
        return 0
    async with log.upkeep:
        log.check()
        facts = [segment.facts() for segment in log.segments]
        count = expired_segments(facts, log.config, now_ms)
        if count or log.doomed:
            await _move_start(log, max(log.start_offset, facts[count].base_offset))
        return count


async def _rest(log: "LocalLog") -> None:
    is_idle = log.tidied_at == log.tail[0]
    log.tidied_at = log.tail[0]
    if is_idle or log.segments.active.end_bytes - log.saved_bytes >= CHECKPOINT_BYTES:
        await checkpoint_in_background(log)
    if is_idle and log.is_saved():
        log.segments.active.close_file()


async def save(log: "LocalLog") -> None:
    """Write a checkpoint of the log as it is now; the caller holds the `upkeep` lock. Raises
    RequestError when the log is or goes offline, OSError."""
    await _save(log, log.start_offset, [])


async def close(log: "LocalLog") -> None:
    """As `PartitionLog.close`."""
    await log.compaction.stop()
    async with log.upkeep:
        if log.is_closing:
            return
        log.is_closing = True
        try:
            if not log.failed:
                await _save(log, log.start_offset, [])
        except (RequestError, OSError) as error:
            log.failed = True
            _log.error("%s was not closed cleanly: %s", log.directory, error)
        await _shut(log, ErrorCode.KAFKA_STORAGE_ERROR, "the log is closed")


async def discard(log: "LocalLog") -> None:
    """Stop using the log, whose files are about to be removed."""
    await log.compaction.stop()
    async with log.upkeep:
        log.is_closing = True
        await _shut(log, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted")


async def _shut(log: "LocalLog", code: ErrorCode, reason: str) -> None:
    log.refuse(code, reason)
    await log.sync_rounds_over()
    for segment in log.segments:
        log.resources.sealed.close(segment)
        segment.close_file()


async def _move_start(log: "LocalLog", offset: int) -> None:
    """Make `offset` the start, durably, then delete the segments before it.

    On a full disk the segments are given up first. Where even that fails, their records are gone
    for readers; the error says that it is not durable, and the next call goes on from there.
    """
    dropped = log.segments.before(offset)
    try:
        try:
            await _save(log, offset, dropped)
        except OSError as error:
            if error.errno not in _NO_SPACE or not (dropped or log.doomed):
                raise
            if dropped:
                log.start_moved(max(log.start_offset, dropped[-1].end_offset), dropped)
            await log.resources.tend(_bury, log.doomed)
            await _save(log, offset, [])
    except OSError as error:
        raise RequestError(
            ErrorCode.KAFKA_STORAGE_ERROR, f"the new start could not be written: {error}"
        ) from error
    log.start_moved(offset, dropped)
    log.doomed = await log.resources.tend(_delete_files, log.doomed)


class _Snapshot(NamedTuple):
    """What is to be written, as it was at one moment."""

    checkpoint: bytes
    indexes: list[tuple[str, bytes]]
    sealed: list[Segment]
    end_bytes: int


async def _save(log: "LocalLog", start_offset: int, dropped: list[Segment]) -> None:
    """Write a checkpoint of the log as it is now, but starting at `start_offset` and without the
    `dropped` segments. Raises RequestError when the log is or goes offline, OSError."""
    state = log.state_to_save(start_offset)
    if log.saved == state:
        return
    log.check()
    snapshot = _snapshot(log, start_offset, dropped)
    await log.durable()
    await log.resources.tend(_write, log.directory, snapshot)
    log.saved = state
    log.saved_bytes = snapshot.end_bytes
    for segment in snapshot.sealed:
        if not segment.dropped:
            segment.is_index_saved = True
            log.resources.sealed.used(segment)


def _snapshot(log: "LocalLog", start_offset: int, dropped: list[Segment]) -> _Snapshot:
    kept = [segment for segment in log.segments if segment not in dropped]
    checkpoint = Checkpoint(
        start_offset,
        log.tail[0],
        [segment.facts() for segment in kept],
        log.producer_table,
    )
    unsaved = [segment for segment in kept if not segment.is_index_saved and segment.size_bytes]
    indexes = []
    for segment in unsaved:
        data = segment.index.encode(segment.base_offset, segment.size_bytes)
        indexes.append((segment.index_path, data))
    sealed = [segment for segment in unsaved if segment is not log.segments.active]
    return _Snapshot(checkpoint.encode(), indexes, sealed, log.segments.active.end_bytes)


def _write(directory: str, snapshot: _Snapshot) -> None:
    for path, data in snapshot.indexes:
        write_durably(path, data)
    write_durably(os.path.join(directory, CHECKPOINT_NAME), snapshot.checkpoint)


def _bury(segments: list[Segment]) -> None:
    """Free the space of segments when there is none left for a checkpoint without them. Their
    names stay as `.del`, by which recovery knows that they did not get lost. May be called again
    for what it did in part. Raises OSError.

    The directory cannot grow either: the indexes go first, and leave their place to the new names.
    """
    for segment in segments:
        remove_if_there(segment.index_path)
    for segment in segments:
        if not disk.is_there(segment.deleted_path):
            disk.rename(segment.path, segment.deleted_path)
    disk.fsync_directory(segments[0].directory)
    for segment in segments:
        fd = disk.open_file(segment.deleted_path, os.O_WRONLY)
        try:
            disk.truncate(fd, 0)
        finally:
            disk.release(fd)


def _delete_files(segments: list[Segment]) -> list[Segment]:
    """Oldest first and each after its index: what a crash leaves is a log, and no lone index.
    Returns those that could not be deleted."""
    remaining = []
    for segment in segments:
        try:
            for path in (segment.index_path, segment.path, segment.deleted_path):
                remove_if_there(path)
        except OSError as error:
            _log.warning("%s could not be deleted: %s", path, error)
            remaining.append(segment)
    return remaining
