"""The one thread that touches the catalog's file, with group commit.

Callers on the event loop hand in a change (a function of the connection) and await its result.
The thread takes everything that is waiting, runs each change in a savepoint of its own and
commits them together: a hundred waiting commits cost one fsync. An answer is given only after
the COMMIT, and changes are applied in the order in which they were handed in.

- A change that raises is rolled back to its savepoint; its neighbours are not affected.
- A disk that is full or fails takes the whole group with it: SQLite rolled back, every caller gets
  KAFKA_STORAGE_ERROR, and the next group starts afresh.
- A failed fsync is final. The kernel may have dropped the pages that it could not write, so a
  later fsync that succeeds proves nothing; from then on every change is refused until a restart
  reads back what the disk really holds.

What must not enter: SQL about any subject; that is in the file of the subject.
"""

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from headrace.catalog.reserve import (
    MAPPED_BYTES,
    RESERVE_BYTES,
    allocate,
    give_up,
    hold_allocated,
)
from headrace.catalog.schema import CatalogError, prepare
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["Report", "Writer"]

WAITING_CHANGES_MAX: Final = 4096
"""Changes handed in and not answered; who comes later waits before handing in."""

GROUP_CHANGES_MAX: Final = 512
"""Changes that share one COMMIT; bounds how long the first of them waits."""

BUSY_MS: Final = 5000
"""How long another program (an SQLite shell) may hold the file before a change fails."""

_FSYNC_FAILED: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})

_CALLERS_FAULT: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
"""Errors of SQLite that say nothing about the disk."""

_log = logging.getLogger(__name__)

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]
Report = Callable[[float, int, bool], None]
"""Seconds that a commit took, the changes that shared it, whether it failed."""


class _Pending(Generic[T]):
    __slots__ = ("change", "error", "future", "result")

    def __init__(self, change: Change[T], future: "asyncio.Future[T]") -> None:
        self.change = change
        self.future = future
        self.result: T | None = None
        self.error: BaseException | None = None


class Writer:
    """Owns the connection; use `open`, then `run` from the loop's thread, then `close`."""

    def __init__(
        self, path: str, loop: asyncio.AbstractEventLoop, report: Report | None = None
    ) -> None:
        """`report` is called on the loop after every commit."""
        self._path = path
        self._loop = loop
        self._report = report
        self._room = asyncio.Semaphore(WAITING_CHANGES_MAX)
        self._waiting: deque[_Pending[Any]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._failed = ""
        self._mapped_fd: int | None = None
        """Closed after the connection, never before: see `reserve`."""
        self._thread = threading.Thread(target=self._work, name="headrace-catalog", daemon=True)
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def open(cls, path: str, report: Report | None = None) -> "Writer":
        """Open or create the file at `path`. Raises CatalogError."""
        writer = cls(path, asyncio.get_running_loop(), report)
        writer._thread.start()
        await writer._opened
        return writer

    async def run(self, change: Change[T]) -> T:
        """Apply `change` durably and return what it returned; raises what it raised.

        If the caller is cancelled the change may still be applied.
        Raises RequestError(KAFKA_STORAGE_ERROR) if the disk is full, fails, or failed before.
        """
        async with self._room:
            future: asyncio.Future[T] = self._loop.create_future()
            with self._wake:
                if self._closing:
                    raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "the catalog is closed")
                self._waiting.append(_Pending(change, future))
                self._wake.notify()
            return await future

    async def close(self) -> None:
        """Apply what was handed in, fold the write-ahead log into the file, close. Idempotent.
        Raises CatalogError, and the file is closed all the same."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        try:
            await asyncio.shield(self._closed)
        finally:
            self._thread.join()

    # Below this line everything runs on the writer's thread.

    def _work(self) -> None:
        try:
            connection = self._connect()
        except CatalogError as error:
            self._tell(self._opened, error)
            return
        self._tell(self._opened)
        while group := self._next_group():
            began_s = time.perf_counter()
            is_done = self._commit(connection, group)
            took_s = time.perf_counter() - began_s
            self._loop.call_soon_threadsafe(_answer, group)
            if self._report is not None:
                self._loop.call_soon_threadsafe(self._report, took_s, len(group), not is_done)
        try:
            self._disconnect(connection)
        except sqlite3.Error as error:
            self._tell(self._closed, CatalogError(f"{self._path} was not closed well: {error}"))
        else:
            self._tell(self._closed)

    def _connect(self) -> sqlite3.Connection:
        connection = None
        room = f"{self._path}-reserve"
        try:
            if not allocate(room, RESERVE_BYTES):
                give_up(room)
                raise CatalogError(f"the disk is full, {RESERVE_BYTES} free bytes are needed")
            give_up(room)
            connection = sqlite3.connect(
                self._path, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=True
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            prepare(connection)
            self._mapped_fd, has_room = hold_allocated(f"{self._path}-shm", MAPPED_BYTES)
            if not (has_room and allocate(room, RESERVE_BYTES)):
                _log.warning("catalog %s: the disk is full, another start may fail", self._path)
        except (CatalogError, sqlite3.Error, OSError) as error:
            if connection is not None:
                self._disconnect(connection)
            raise CatalogError(f"cannot use the catalog {self._path}: {error}") from error
        return connection

    def _disconnect(self, connection: sqlite3.Connection) -> None:
        try:
            connection.close()
        finally:
            if self._mapped_fd is not None:
                os.close(self._mapped_fd)

    def _next_group(self) -> list[_Pending[Any]]:
        """What is waiting, at most GROUP_CHANGES_MAX; empty when closed and done."""
        with self._wake:
            while not self._waiting and not self._closing:
                self._wake.wait()
            count = min(len(self._waiting), GROUP_CHANGES_MAX)
            return [self._waiting.popleft() for _ in range(count)]

    def _commit(self, connection: sqlite3.Connection, group: list[_Pending[Any]]) -> bool:
        """Whether the changes are durable; else every one of them has its error."""
        if not self._failed:
            try:
                connection.execute("BEGIN IMMEDIATE")
                for pending in group:
                    _apply(connection, pending)
                connection.execute("COMMIT")
                return True
            except sqlite3.Error as error:
                reason = str(error)
                self._undo(connection, error)
        else:
            reason = self._failed
        refusal = f"the catalog {self._path} cannot be written: {reason}"
        for pending in group:
            pending.error = RequestError(ErrorCode.KAFKA_STORAGE_ERROR, refusal)
        return False

    def _undo(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        """After an error of the disk: be ready for the next group, or for none."""
        _log.error("catalog %s: a commit failed: %s", self._path, error)
        if getattr(error, "sqlite_errorcode", None) in _FSYNC_FAILED:
            self._failed = f"{error} (an fsync failed; restart to go on with what is on the disk)"
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as worse:
            self._failed = f"{worse} (undoing a failed commit; restart)"

    def _tell(self, future: "asyncio.Future[None]", error: CatalogError | None = None) -> None:
        pending = _Pending(_nothing, future)
        pending.error = error
        self._loop.call_soon_threadsafe(_answer, [pending])


def _apply(connection: sqlite3.Connection, pending: _Pending[Any]) -> None:
    """Run one change in its savepoint. Raises sqlite3.Error if the transaction cannot go on."""
    connection.execute("SAVEPOINT change")
    try:
        pending.result = pending.change(connection)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not isinstance(error, _CALLERS_FAULT):
            raise
        pending.error = error
        connection.execute("ROLLBACK TO change")
    connection.execute("RELEASE change")


def _nothing(_: sqlite3.Connection) -> None:
    """The change of a future that waits for the thread itself, not for a commit."""


def _answer(group: list[_Pending[Any]]) -> None:
    for pending in group:
        if pending.future.done():  # its caller was cancelled
            continue
        if pending.error is not None:
            pending.future.set_exception(pending.error)
        else:
            pending.future.set_result(pending.result)
