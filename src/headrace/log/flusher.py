"""Group commit: the one place that makes appended bytes durable and tells the logs so.

One thread a data directory. A log that has unsynced bytes puts itself in the queue once; the
thread takes all that are in it, asks each what to sync (`begin_sync`), syncs the files, and posts
one callback to the event loop, where each log hears the outcome (`end_sync`). What is appended
during a round puts the log in the queue again and shares the next round. A log is never synced by
two threads at once, since the kernel reports a failed write-back to only one of them.

A failed sync is final: the kernel may have dropped the bytes and a second try would "succeed".
The log goes offline (`local`); nothing here tries again.

One log with nobody beside it may be synced by the loop itself, which spares it two wake-ups
(`pacing` says when).

With several dirty logs the whole volume is synced at once (`volume` says when that is wise), else
SYNC_THREADS share the round, since concurrent syncs share commits of the file system's journal.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple, Protocol

from headrace.log import disk
from headrace.log.contract import SyncRound
from headrace.log.files import OpenFile
from headrace.log.pacing import Pacing
from headrace.log.segment import Tail
from headrace.log.volume import Volume
from headrace.worker import Worker

__all__ = ["Flusher", "SyncJob", "Syncable", "sync_job"]

SYNC_THREADS: Final = 8
"""Files synced at the same time in one data directory."""

_log = logging.getLogger(__name__)


class SyncJob(NamedTuple):
    """What makes a log durable up to `tail`: syncing these files, then these directories. The
    files are held open for it."""

    tail: Tail
    files: Sequence[OpenFile]
    directories: Sequence[str]


class Syncable(Protocol):
    """A log as the flusher sees it."""

    def begin_sync(self) -> SyncJob:
        """In a flusher's thread, or on the loop: what has been appended by now."""

    def mark_synced(self, job: SyncJob) -> None:
        """In the same thread: the job is done."""

    def mark_failed(self, error: OSError) -> None:
        """In the same thread: it failed."""

    def end_sync(self, job: SyncJob, error: OSError | None) -> None:
        """On the loop: the job is done, or failed for good."""


def sync_job(job: SyncJob) -> None:
    """Blocks on the disk. Raises OSError, which is final."""
    for file in job.files:
        disk.fdatasync(file.fd)
    for directory in job.directories:
        disk.fsync_directory(directory)


class Flusher:
    """Made on the loop's thread. The queue holds a log at most once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        directory: str,
        report: Callable[[SyncRound], None] | None = None,
    ) -> None:
        """`report` is called on the loop after every round. Raises OSError."""
        self._loop = loop
        self._report = report
        self._volume = Volume(directory)
        self._arrived: list[Syncable] = []
        self._pacing = Pacing()
        self._under_way = 0
        """Rounds that the thread was given and the loop has not heard of again."""
        self._is_shared = False
        """Something arrived while one of them was under way."""
        self._arrived_s = 0.0
        """When the first of those came."""
        self._helpers = ThreadPoolExecutor(SYNC_THREADS - 1, thread_name_prefix="headrace-sync")
        self._worker: Worker[_Arrived] = Worker("headrace-flusher", self._round)
        self._worker.start()

    def put(self, log: Syncable) -> None:
        """Sync this log in the next round. Loop thread only. The round begins when the loop has
        done what is at hand, so that all of that shares it."""
        if not self._arrived:
            self._arrived_s = time.perf_counter()
            self._loop.call_soon(self._submit)
            self._is_shared = self._under_way > 0
        self._arrived.append(log)

    def close(self) -> None:
        """Finish the round in progress and end. Waits for the disk: call it off the loop, when
        nothing is to be synced any more."""
        self._worker.end()
        self._worker.join()
        self._helpers.shutdown()
        self._volume.close()

    def _submit(self) -> None:
        arrived, self._arrived = self._arrived, []
        if not self._under_way and len(arrived) == 1 and self._pacing.is_inline():
            began_s = time.perf_counter()
            results = self._sync_all(arrived)
            sync_s = time.perf_counter() - began_s
            self._pacing.round_over(sync_s, was_alone=None)
            self._tell(results, self._arrived_s, sync_s)
            return
        self._under_way += 1
        self._worker.put((arrived, self._arrived_s))

    def _round(self, submitted: "list[_Arrived]") -> None:
        """In the thread: one round for all that was put in the queue by now."""
        logs = [log for arrived, _ in submitted for log in arrived]
        since_s = submitted[0][1]
        began_s = time.perf_counter()
        results = self._sync_all(logs)
        sync_s = time.perf_counter() - began_s
        if not self._loop.is_closed():
            over = partial(self._over, len(submitted), results, since_s, sync_s)
            self._loop.call_soon_threadsafe(over)

    def _over(
        self, submitted: int, results: "list[_Result]", since_s: float, sync_s: float
    ) -> None:
        """On the loop again."""
        self._under_way -= submitted
        was_alone = not self._is_shared and len(results) == 1
        self._is_shared = False
        self._pacing.round_over(sync_s, was_alone=was_alone)
        self._tell(results, since_s, sync_s)

    def _sync_all(self, logs: list[Syncable]) -> "list[_Result]":
        """One round, in whichever thread."""
        tasks = [(log, log.begin_sync()) for log in logs]
        try:
            return self._sync_tasks(tasks)
        except Exception as error:  # noqa: BLE001 - else all would wait for ever, and nobody know
            _log.exception("a round of syncs broke off")
            failure = OSError(f"the sync broke off: {error}")
            return [_failed(log, job, failure) for log, job in tasks]

    def _sync_tasks(self, tasks: "list[_Task]") -> "list[_Result]":
        if len(tasks) > 1 and self._volume.is_worth_syncing(len(tasks)):
            try:
                self._volume.sync()
            except OSError as error:
                _log.warning("syncing the volume failed, now file by file: %s", error)
            else:
                return [_marked(log, job) for log, job in tasks]
        shares = min(SYNC_THREADS, len(tasks))
        others = [
            self._helpers.submit(_sync_some, tasks[share::shares]) for share in range(1, shares)
        ]
        results = _sync_some(tasks[0::shares])
        for other in others:
            results += other.result()
        return results

    def _tell(self, results: "list[_Result]", since_s: float, sync_s: float) -> None:
        """On the loop. Every log hears of its rounds in their order, so no part of one is put off:
        the next may be told right after. A mistake in one log does not keep it from the others."""
        for log, job, error in results:
            try:
                log.end_sync(job, error)
            except Exception:  # noqa: BLE001 - whatever it is, it is that log's
                _log.exception("a log could not take the end of a sync")
        if self._report is not None:
            delay_s = time.perf_counter() - since_s
            failed = sum(error is not None for _, _, error in results)
            self._report(SyncRound(sync_s, delay_s, failed))


_Arrived = tuple[list[Syncable], float]
_Task = tuple[Syncable, SyncJob]
_Result = tuple[Syncable, SyncJob, OSError | None]


def _sync_some(tasks: list[_Task]) -> list[_Result]:
    return [_sync(log, job) for log, job in tasks]


def _sync(log: Syncable, job: SyncJob) -> _Result:
    try:
        sync_job(job)
    except OSError as error:
        return _failed(log, job, error)
    return _marked(log, job)


def _marked(log: Syncable, job: SyncJob) -> _Result:
    log.mark_synced(job)
    return log, job, None


def _failed(log: Syncable, job: SyncJob, error: OSError) -> _Result:
    log.mark_failed(error)
    return log, job, error
