"""The one thread that touches the catalog's file, with group commit.

Callers on the event loop hand in a change (a function of the connection) and await its result.
The thread takes everything that is waiting, runs each change in a savepoint of its own and
commits them together: a hundred waiting commits cost one fsync. An answer is given only after
the COMMIT, and changes are applied in the order in which they were handed in.

- A change that raises is rolled back to its savepoint; its neighbours are not affected.
- A disk that is full or fails takes the whole group with it: SQLite rolled back, every caller that
  wanted to write gets KAFKA_STORAGE_ERROR, and the next group starts afresh. Those that only read
  get their answer: what cannot be written does not make anything unreadable.
- A failed fsync is final. The kernel may have dropped the pages that it could not write, so a
  later fsync that succeeds proves nothing; from then on every change is refused until a restart
  reads back what the disk really holds.

What must not enter: SQL about any subject; that is in the file of the subject.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Generic, TypeVar

from headrace.catalog.connecting import Connected, connect, disconnect, join
from headrace.catalog.gate import Gate
from headrace.catalog.schema import CatalogError
from headrace.wire.errors import ErrorCode, RequestError
from headrace.worker import Worker

__all__ = ["Outdated", "Report", "Writer"]

WAITING_CHANGES_MAX: Final = 4096
"""Changes handed in and not answered; who comes later waits before handing in."""

GROUP_CHANGES_MAX: Final = 512
"""Changes that share one COMMIT; bounds how long the first of them waits."""

_FSYNC_FAILED: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})

_CALLERS_FAULT: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
"""Errors of SQLite that say nothing about the disk."""

_log = logging.getLogger(__name__)

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]
Report = Callable[[float, int, bool], None]
"""Seconds that a commit took, the changes that shared it, whether it failed."""


class Outdated(Exception):
    """Nothing was changed: what the change began with is not what the catalog holds any more, since
    another process changed it."""


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
        self,
        path: str,
        loop: asyncio.AbstractEventLoop,
        report: Report | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`report` is called on the loop after every commit. With a `gate`, which is closed with
        the file, other processes write to it, too."""
        self._path = path
        self._gate = gate
        self._turn: AbstractContextManager[None] = gate or nullcontext()
        self._loop = loop
        self._report = report
        self._room = asyncio.Semaphore(WAITING_CHANGES_MAX)
        self._closing = False
        self._failed = ""
        self._is_warned = False
        self._connected: Connected | None = None
        self._worker: Worker[_Pending[Any]] = Worker(
            "headrace-catalog",
            self._commit_group,
            items_max=GROUP_CHANGES_MAX,
            begin=self._begin,
            end=self._end,
        )
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def open(
        cls, path: str, report: Report | None = None, gate: Gate | None = None
    ) -> "Writer":
        """Open or create the file at `path`; with a `gate`, join whoever has it open. Raises
        CatalogError."""
        writer = cls(path, asyncio.get_running_loop(), report, gate)
        writer._worker.start()
        try:
            await writer._opened
        except CatalogError:
            writer._worker.end()
            writer._close_gate()
            raise
        return writer

    async def run(self, change: Change[T]) -> T:
        """Apply `change` durably and return what it returned; raises what it raised.

        If the caller is cancelled the change may still be applied.
        Raises RequestError(KAFKA_STORAGE_ERROR) if the disk is full, fails, or failed before.
        """
        async with self._room:
            if self._closing:
                raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "the catalog is closed")
            future: asyncio.Future[T] = self._loop.create_future()
            self._worker.put(_Pending(change, future))
            return await future

    async def read(self, change: Change[T]) -> T:
        """As `run`, for a start that reads what is there. Raises CatalogError for rows that it
        cannot make sense of."""
        try:
            return await self.run(change)
        except (LookupError, ValueError, TypeError, sqlite3.Error) as error:
            raise CatalogError(
                f"the catalog {self._path} is damaged: {type(error).__name__}: {error}"
            ) from error

    @property
    def is_in_doubt(self) -> bool:
        """An fsync failed: whether the last changes that were refused are there, a restart says."""
        return bool(self._failed)

    async def close(self) -> None:
        """Apply what was handed in, fold the write-ahead log into the file, close. Idempotent.
        Raises CatalogError, and the file is closed all the same."""
        self._closing = True
        self._worker.end()
        try:
            await asyncio.shield(self._closed)
        finally:
            self._worker.join()
            self._close_gate()

    def _close_gate(self) -> None:
        if self._gate is not None:
            self._gate.close()
            self._gate = None

    # Below this line everything runs on the writer's thread.

    def _begin(self) -> None:
        try:
            with self._turn:
                self._connected = connect(self._path) if self._gate is None else join(self._path)
        except CatalogError as error:
            self._tell(self._opened, error)
        else:
            self._tell(self._opened)

    def _commit_group(self, group: list[_Pending[Any]]) -> None:
        assert self._connected is not None  # noqa: S101 - changes are taken when it is open
        began_s = time.perf_counter()
        is_done = self._commit(self._connected.connection, group)
        took_s = time.perf_counter() - began_s
        self._loop.call_soon_threadsafe(_answer, group)
        if self._report is not None:
            self._loop.call_soon_threadsafe(self._report, took_s, len(group), not is_done)

    def _end(self) -> None:
        if self._connected is None:
            return
        try:
            disconnect(self._connected)
        except sqlite3.Error as error:
            self._tell(self._closed, CatalogError(f"{self._path} was not closed well: {error}"))
        else:
            self._tell(self._closed)

    def _commit(self, connection: sqlite3.Connection, group: list[_Pending[Any]]) -> bool:
        """Whether the changes are durable; else every one that is not a mere look has its error."""
        refused = group
        if self._failed:
            reason = self._failed
        else:
            with self._turn:
                reason = self._try(connection, group)
            if not reason:
                return True
            if not self._failed:
                refused = _looked_only(connection, group)
        refusal = f"the catalog {self._path} cannot be written: {reason}"
        for pending in refused:
            pending.error = RequestError(ErrorCode.KAFKA_STORAGE_ERROR, refusal)
        return False

    def _try(self, connection: sqlite3.Connection, group: list[_Pending[Any]]) -> str:
        """Empty, or why the changes are not durable."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            for pending in group:
                _apply(connection, pending)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo(connection, error)
            return str(error)
        self._is_warned = False
        return ""

    def _undo(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        """After an error of the disk: be ready for the next group, or for none."""
        if not self._is_warned:  # a full disk refuses many a second
            _log.error("catalog %s: a commit failed: %s", self._path, error)
            self._is_warned = True
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


def _looked_only(connection: sqlite3.Connection, group: list[_Pending[Any]]) -> list[_Pending[Any]]:
    """Run again, one by one, what a failed commit took with it, and answer what does not write.
    The others are returned."""
    refused = []
    connection.execute("PRAGMA query_only = ON")
    try:
        for pending in group:
            pending.result = pending.error = None
            try:
                connection.execute("BEGIN")
                _apply(connection, pending)
                connection.execute("COMMIT")
            except sqlite3.Error:
                refused.append(pending)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
    finally:
        connection.execute("PRAGMA query_only = OFF")
    return refused


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
