"""Group commit: the one place that makes appended bytes durable and tells the logs so.

One thread a data directory. A log that has unsynced bytes puts itself in the queue once; the
thread takes all that are in it, asks each what to sync (`begin_sync`), syncs the files, and posts
one callback to the event loop, where each log hears the outcome (`end_sync`). What is appended
during a round puts the log in the queue again and shares the next round. A log is never synced by
two threads at once, since the kernel reports a failed write-back to only one of them.

A failed sync is final: the kernel may have dropped the bytes and a second try would "succeed".
The log goes offline (`local`); nothing here tries again.

With several dirty logs a round is shared by SYNC_THREADS, since concurrent syncs share journal
commits of the file system.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, NamedTuple, Protocol

from headrace.log import platform
from headrace.log.files import OpenFile
from headrace.log.segment import Tail

__all__ = ["Flusher", "SyncJob", "Syncable", "sync_job"]

SYNC_THREADS: Final = 4
"""Files synced at the same time in one data directory."""


class SyncJob(NamedTuple):
    """What makes a log durable up to `tail`: syncing these files, then these directories. The
    files are held open for it."""

    tail: Tail
    files: Sequence[OpenFile]
    directories: Sequence[str]


class Syncable(Protocol):
    """A log as the flusher sees it."""

    def begin_sync(self) -> SyncJob:
        """In a flusher's thread: what has been appended by now."""

    def mark_synced(self, job: SyncJob) -> None:
        """In the same thread: the job is done."""

    def end_sync(self, job: SyncJob, error: OSError | None) -> None:
        """On the loop: the job is done, or failed for good."""


def sync_job(job: SyncJob) -> None:
    """Blocks on the disk. Raises OSError, which is final."""
    for file in job.files:
        platform.fdatasync(file.fd)
    for directory in job.directories:
        platform.fsync_directory(directory)


class Flusher:
    """Made and closed on the loop's thread. The queue holds a log at most once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[Syncable | None] = SimpleQueue()
        self.put: Callable[[Syncable], None] = self._queue.put
        """Sync this log in the next round. Loop thread only."""
        self._helpers = ThreadPoolExecutor(SYNC_THREADS - 1, thread_name_prefix="headrace-sync")
        self._thread = threading.Thread(target=self._run, name="headrace-flusher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the round in progress and end. Waits for the disk: call it off the loop."""
        self._queue.put(None)
        self._thread.join()
        self._helpers.shutdown()

    def _run(self) -> None:
        queue = self._queue
        while True:
            logs = [queue.get()]
            while not queue.empty():
                logs.append(queue.get())
            round_ = [log for log in logs if log is not None]
            if round_:
                results = self._sync_all(round_)
                if self._loop.is_closed():
                    return
                self._loop.call_soon_threadsafe(self._tell, results)
            if len(round_) < len(logs):
                return

    def _sync_all(self, logs: list[Syncable]) -> "list[_Result]":
        if len(logs) == 1:
            return [_sync(logs[0])]
        shares = min(SYNC_THREADS, len(logs))
        others = [
            self._helpers.submit(_sync_some, logs[share::shares]) for share in range(1, shares)
        ]
        results = _sync_some(logs[0::shares])
        for other in others:
            results += other.result()
        return results

    def _tell(self, results: "list[_Result]") -> None:
        """On the loop. Each log hears in a call of its own: a mistake in one is reported by the
        loop and does not keep it from the others."""
        for log, job, error in results[1:]:
            self._loop.call_soon(log.end_sync, job, error)
        log, job, error = results[0]
        log.end_sync(job, error)


class _Result(NamedTuple):
    log: Syncable
    job: SyncJob
    error: OSError | None


def _sync_some(logs: list[Syncable]) -> list[_Result]:
    return [_sync(log) for log in logs]


def _sync(log: Syncable) -> _Result:
    job = log.begin_sync()
    try:
        sync_job(job)
    except OSError as error:
        return _Result(log, job, error)
    log.mark_synced(job)
    return _Result(log, job, None)
