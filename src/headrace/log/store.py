"""One data directory: who may use it, which logs are in it, how it is left.

On the disk (`checkpoint`, `segment`, `index` and `marks` say what is in the files):

    headrace.lock       held with flock while a process uses the directory; its process id
    headrace.clean      there when the last process closed every log
    headrace.marks      up to where each partition was synced
    topics/<topic id, hex>/<partition>/
        <base offset>.log, <base offset>.index, checkpoint

Where several processes share it, `settling` says what each has of its own, and whoever started
them holds the lock for all.

What must not enter: topic names, configuration's meaning, the catalog's files.
"""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Final, Literal, NamedTuple
from uuid import UUID

from headrace.log import disk, upkeep
from headrace.log.checkpoint import remove_if_there, write_durably
from headrace.log.contract import CorruptLogError, LogConfig, PartitionLog, SyncRound
from headrace.log.flusher import Flusher
from headrace.log.local import LocalLog
from headrace.log.marks import Mark, Marks
from headrace.log.recovery import Recovered, recover
from headrace.log.resources import Resources
from headrace.log.settling import CLEAN_NAME, settle
from headrace.log.topic_files import TOPICS_NAME, TopicFiles

__all__ = [
    "TOPICS_NAME",
    "DataDirectoryInUse",
    "LogStore",
    "Share",
    "lock_directory",
    "make_data_directory",
]

LOCK_NAME: Final = "headrace.lock"

_PID_BYTES_MAX: Final = 20

_log = logging.getLogger(__name__)


class DataDirectoryInUse(Exception):
    """Another process works on the data directory: two writers would destroy it."""

    def __init__(self, directory: str, pid: str) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the data directory {directory} is in use by {holder}: stop it, or choose another "
            "directory"
        )
        self.directory = directory
        self.pid = pid


class Share(NamedTuple):
    """What one of several processes is given of a data directory."""

    own: str
    """Its own directory in it; see `settling`."""
    lock: int
    """The lock's descriptor, as it was inherited."""


class LogStore:
    """Made by `open`, ended by `close`; used on the event loop's thread."""

    def __init__(
        self,
        directory: str,
        own: str,
        lock: int,
        resources: Resources,
        marks: Marks,
        *,
        was_clean: bool,
    ) -> None:
        self.directory = directory
        self._own = own
        self.was_clean = was_clean
        """Whether the process before this one closed every log of its own."""
        self._files = TopicFiles(directory)
        self._lock = lock
        self._resources = resources
        self._marks = marks
        self._logs: dict[tuple[UUID, int], LocalLog] = {}
        self._is_whole = True
        self._is_closed = False

    @classmethod
    def open(
        cls,
        directory: str,
        *,
        durability: Literal["fsync", "os"],
        loop: asyncio.AbstractEventLoop,
        now_ms: Callable[[], int],
        report: Callable[[SyncRound], None] | None = None,
        share: Share | None = None,
    ) -> "LogStore":
        """Take the data directory, created if need be, or a `share` of it; `report` hears on the
        loop of every round of group commit. Raises DataDirectoryInUse, OSError."""
        directory = os.path.abspath(directory)
        make_data_directory(directory)
        with contextlib.ExitStack() as undo:
            if share is None:
                lock = lock_directory(directory)
                undo.callback(disk.release, lock)
                settle(directory)
                own = directory
            else:
                own, lock = share
            was_clean = _take_clean_marker(own)
            marks = Marks(own)
            undo.callback(marks.close)
            flusher = Flusher(loop, directory, report) if durability == "fsync" else None
            resources = Resources(loop, flusher, now_ms)
            undo.callback(resources.close)
            store = cls(directory, own, lock, resources, marks, was_clean=was_clean)
            if share is None:
                store._remove_leftovers()
            if not was_clean and store.topic_ids():
                _log.warning("%s was not closed cleanly: recovering its logs", directory)
            undo.pop_all()
            return store

    async def open_log(
        self, topic_id: UUID, partition: int, config: LogConfig, *, must_exist: bool = False
    ) -> PartitionLog:
        """Create the partition's log, or recover it. Raises CorruptLogError, also when it
        `must_exist` and its directory does not, and OSError."""
        topic_directory = os.path.join(self._files.path, topic_id.hex)
        directory = os.path.join(topic_directory, str(partition))
        mark = self._marks.of(topic_id, partition)

        def open_directory() -> tuple[Recovered, bool]:
            is_new = not disk.is_directory(directory)
            if is_new and must_exist:
                raise CorruptLogError(f"the directory {directory} is missing")
            disk.make_directories(directory, exist_ok=True)
            recovered = recover(
                directory,
                index_interval_bytes=config.index_interval_bytes,
                now_ms=self._resources.now_ms(),
                mark=mark.found,
            )
            return recovered, is_new

        try:
            recovered, is_new = await self._resources.read(open_directory)
        except BaseException:
            self._is_whole = False
            raise
        new = (directory, topic_directory, self._files.path) if is_new or not self.was_clean else ()
        active = recovered.segments[-1]
        end = Mark(active.base_offset, active.size_bytes)
        if mark.found < end:
            mark.set(*end)  # recovery has synced what it took, so no later start may cut it
        log = LocalLog(directory, config, self._resources, recovered, mark, new)
        if recovered.scanned_bytes >= upkeep.CHECKPOINT_BYTES:
            log.checkpoint_soon()
        self._logs[topic_id, partition] = log
        return log

    async def make_directory(self, topic_id: UUID, partition: int) -> None:
        """Make room for a log that another process will open. Raises OSError."""
        path = os.path.join(self._files.path, topic_id.hex, str(partition))
        await self._resources.tend(partial(disk.make_directories, path, exist_ok=True))

    async def sync_topic(self, topic_id: UUID) -> None:
        """Make it durable that the topic's directories exist. Raises OSError."""

        def sync() -> None:
            disk.fsync_directory(os.path.join(self._files.path, topic_id.hex))
            disk.fsync_directory(self._files.path)

        await self._resources.tend(sync)

    async def delete_topic(self, topic_id: UUID) -> None:
        """Remove the topic's files; its logs refuse every call from now on. Raises OSError."""
        await self.discard_topic(topic_id)
        await self._resources.tend(self._files.remove, topic_id)

    async def discard_topic(self, topic_id: UUID) -> None:
        """The same for a topic whose files somebody else removes. Raises OSError."""
        keys = [key for key in self._logs if key[0] == topic_id]
        await asyncio.gather(*(upkeep.discard(self._logs.pop(key)) for key in keys))
        self._marks.forget(topic_id)

    def topic_ids(self) -> set[UUID]:
        """The topics on the disk."""
        return self._files.topic_ids()

    def holds_data(self, topic_id: UUID) -> bool:
        """Whether there are bytes in any segment of the topic. Raises OSError."""
        return self._files.holds_data(topic_id)

    def volume_bytes(self) -> int:
        """The size of the volume that the directory is on."""
        facts = disk.volume_of(self.directory)
        return facts.f_blocks * facts.f_frsize

    def free_bytes(self) -> int:
        """What the volume has left."""
        facts = disk.volume_of(self.directory)
        return facts.f_bavail * facts.f_frsize

    async def close(self) -> None:
        """Close every log, then say that all are, and leave the directory. Idempotent. Raises
        what kept a log from being closed, when the rest is done."""
        if self._is_closed:
            return
        self._is_closed = True
        logs = self._logs.values()
        results = await asyncio.gather(*(log.close() for log in logs), return_exceptions=True)
        errors = [result for result in results if result is not None]
        is_clean = self._is_whole and not errors and not any(log.failed for log in logs)
        await asyncio.to_thread(self._leave, is_clean)
        if errors:
            raise errors[0]

    def _remove_leftovers(self) -> None:
        """What is left of topics that were being deleted goes now, in a thread."""
        for path in self._files.leftovers():
            self._resources.tend_soon(partial(disk.remove_tree, path, ignore_errors=True))

    def _leave(self, is_clean: bool) -> None:
        with contextlib.ExitStack() as leaving:
            leaving.callback(disk.release, self._lock)
            leaving.callback(self._marks.close)
            self._resources.close()
            if is_clean:
                try:
                    write_durably(os.path.join(self._own, CLEAN_NAME), b"")
                except OSError as error:
                    _log.warning("%s: no clean marker was written: %s", self.directory, error)


def lock_directory(directory: str) -> int:
    """Lock the directory for as long as the descriptor that is returned is open. Raises
    DataDirectoryInUse, OSError."""
    path = os.path.join(directory, LOCK_NAME)
    fd = disk.open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        disk.lock(fd)
    except OSError as error:
        try:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            pid = disk.read(fd, _PID_BYTES_MAX, 0).decode("ascii", "replace")
        finally:
            disk.release(fd)
        raise DataDirectoryInUse(directory, pid) from error
    try:
        disk.truncate(fd, 0)
        disk.pwrite(fd, str(os.getpid()).encode(), 0)
    except OSError as error:  # a full disk is no reason not to start: the lock is what counts
        _log.warning("%s: the process id was not written: %s", path, error)
    return fd


def make_data_directory(directory: str) -> None:
    """Make what there is not of the data directory, and its name durable: a power cut would take
    all that is below it. Also when it is there, since the process that made it may have been
    killed before it came to that. Raises OSError."""
    named_in = [directory, os.path.dirname(directory)]
    while not disk.is_there(named_in[-1]):
        named_in.append(os.path.dirname(named_in[-1]))
    disk.make_directories(directory, exist_ok=True)  # by itself, to be named if it is none
    disk.make_directories(os.path.join(directory, TOPICS_NAME), exist_ok=True)
    for path in reversed(named_in):
        with contextlib.suppress(PermissionError):  # what is above may be closed to us
            disk.fsync_directory(path)


def _take_clean_marker(directory: str) -> bool:
    """Whether the marker was there; it is gone, durably, before any log changes."""
    path = os.path.join(directory, CLEAN_NAME)
    if not disk.is_there(path):
        return False
    remove_if_there(path)
    disk.fsync_directory(directory)
    return True
