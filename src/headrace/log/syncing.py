"""What of one log is not on the disk yet, and the log's side of the flusher's rounds.

Unsynced are the active segment, segments sealed since the last round, and directories that a file
was made in. `begin_sync` and `mark_synced` run in the flusher's thread, everything else on the
loop; what they share is replaced whole, never changed.

What must not enter: which appends wait for a round (`local`), syncing itself (`flusher`).
"""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from headrace.log.contract import Appended
from headrace.log.flusher import SyncJob, sync_job
from headrace.log.marks import LogMark
from headrace.log.segment import Segment
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.log.local import LocalLog

__all__ = ["Syncing"]

AGAIN_S: Final = 0.5
"""Until a round that lacked a file descriptor is tried again."""

_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)
"""A directory could not be opened to be synced: nothing has failed that was tried."""

_log = logging.getLogger(__name__)


class Syncing:
    """Belongs to one log; the flusher knows the log by it."""

    __slots__ = (
        "_directories",
        "_flusher",
        "_has_failed",
        "_is_short",
        "_log",
        "_mark",
        "_rounds_due",
        "_rounds_over",
        "_sealed",
        "is_queued",
    )

    def __init__(self, log: "LocalLog", mark: LogMark, new_directories: Sequence[str]) -> None:
        self.is_queued = False
        """In the flusher's queue: what is appended now is in the round to come."""
        self._log = log
        self._flusher = log.resources.flusher
        self._mark = mark
        self._sealed: tuple[Segment, ...] = ()
        self._directories: tuple[str, ...] = tuple(new_directories)
        self._has_failed = False
        """A sync failed for good, as the flusher's threads know before the loop does."""
        self._is_short = False
        """Of file descriptors, in the last round."""
        self._rounds_due = 0
        self._rounds_over: asyncio.Event | None = None

    def has_new_file(self) -> None:
        """A file was made in the log's directory. That makes the directories other ones than a
        round under way has, which may have synced this one already."""
        directory = self._log.directory
        self._directories = (directory, *(one for one in self._directories if one != directory))

    def sealed(self, segment: Segment) -> None:
        """The segment was sealed, and another begun."""
        self._sealed = (*self._sealed, segment)
        self.has_new_file()

    def forget_dropped(self) -> None:
        """Segments that are no longer in the log need not be synced."""
        self._sealed = tuple(segment for segment in self._sealed if not segment.dropped)

    def queue(self) -> None:
        """Ask for a round, unless one is to come."""
        if not self.is_queued and self._flusher is not None:
            self.is_queued = True
            self._rounds_due += 1
            self._flusher.put(self)

    def begin_sync(self) -> SyncJob:
        """In the flusher's thread. `is_queued` falls before `tail` is read: a batch appended just
        now is in this round or, since it finds `is_queued` down, in the next."""
        self.is_queued = False
        tail = self._log.tail
        files = []
        for segment in (*self._sealed, tail[1]):
            file = segment.file
            if file is not None:  # else it was synced, saved and closed
                with contextlib.suppress(ValueError):
                    files.append(file.acquire())
        return SyncJob(tail, files, self._directories)

    def mark_synced(self, job: SyncJob) -> None:
        """In the flusher's thread, when the job is done. Not after one that failed: what that was
        to sync lies before what this one has, and may be gone."""
        if self._has_failed:
            return
        _, segment, position = job.tail
        self._mark.set(segment.base_offset, position)

    def mark_failed(self, error: OSError) -> None:
        """In the flusher's thread, when the job has failed; the next one may be done before the
        loop hears of it."""
        if error.errno not in _NO_DESCRIPTORS:
            self._has_failed = True

    def end_sync(self, job: SyncJob, error: OSError | None) -> None:
        """On the loop."""
        _release(job)
        self._rounds_due -= 1
        if self._rounds_due == 0 and self._rounds_over is not None:
            self._rounds_over.set()
        if error is not None and error.errno in _NO_DESCRIPTORS:
            self._try_again_soon(error)
            return
        if error is not None:
            self._fail(error)
        self._is_short = False
        if not self._log.failed:
            self._synced(job)
            self._log.advance(job.tail)

    async def durable(self) -> None:
        """Wait until what has been appended by now is on the disk. Raises RequestError."""
        log = self._log
        if self._flusher is None:
            job = self.begin_sync()
            try:
                await log.resources.tend(sync_job, job)
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
                self._fail(error)
                log.check()
            finally:
                _release(job)
            self._synced(job)
        elif log.readable[0] < log.tail[0] or self._directories:
            future: asyncio.Future[Appended | RequestError] = log.resources.loop.create_future()
            log.wait_for_round(partial(_settle, future))
            self.queue()
            outcome = await future
            if isinstance(outcome, RequestError):
                raise outcome

    async def rounds_over(self) -> None:
        """Wait until no flusher's thread works for this log."""
        if self._rounds_due:
            self._rounds_over = asyncio.Event()
            await self._rounds_over.wait()

    def _try_again_soon(self, error: OSError) -> None:
        if not self._is_short:
            self._is_short = True
            _log.warning("%s: acknowledgements wait: %s", self._log.directory, error)
        self._log.resources.loop.call_later(AGAIN_S, self._queue_again)

    def _queue_again(self) -> None:
        if self._log.is_usable():  # a log that is closing waits for this round
            self.queue()

    def _fail(self, error: OSError) -> None:
        self._log.go_offline(f"{self._log.directory} is offline, a sync failed: {error}")

    def _synced(self, job: SyncJob) -> None:
        """The job's files and directories need no further sync."""
        self._sealed = tuple(
            segment for segment in self._sealed if segment.end_offset > job.tail[0]
        )
        if self._directories is job.directories:
            self._directories = ()


def _release(job: SyncJob) -> None:
    for file in job.files:
        file.release()


def _settle(
    future: "asyncio.Future[Appended | RequestError]", outcome: Appended | RequestError
) -> None:
    if not future.done():
        future.set_result(outcome)
