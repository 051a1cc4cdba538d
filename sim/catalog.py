"""The catalog's database in memory: what was committed survives every crash, nothing else does.

A commit can be made to fail as disks fail: full, which SQLite undoes, or in its fsync, after which
nobody knows what a restart will find; here a coin decides at once.
"""

import errno
import os
import sqlite3
from typing import Any, cast

from headrace.catalog.connecting import Connected
from headrace.catalog.schema import CatalogError, prepare
from sim.world import World

__all__ = ["MemoryCatalog"]


class _Database(sqlite3.Connection):
    """Commits as its `catalog` says."""

    catalog: "MemoryCatalog"

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            self.catalog.before_commit(self)
        return super().execute(sql, *arguments)


class MemoryCatalog:
    """Outlives the processes that use it."""

    def __init__(self, world: World) -> None:
        self.is_full = False
        self.fails_next_fsync = False
        self._world = world
        self._random = world.random("catalog")
        self._database: _Database = sqlite3.connect(
            ":memory:", isolation_level=None, factory=_Database
        )
        self._database.catalog = self
        self._database.execute("PRAGMA foreign_keys = ON")

    def is_there(self, _: str) -> bool:
        """As `Catalog.is_there`: once something is in it."""
        return self._database.execute("SELECT 1 FROM sqlite_master").fetchone() is not None

    def connect(self, path: str) -> Connected:
        """As `headrace.catalog.connecting.connect`."""
        if self.is_full:
            raise CatalogError(f"{path}: {os.strerror(errno.ENOSPC)}")
        if self._database.in_transaction:
            self._database.rollback()
        prepare(self._database)
        return Connected(cast("Any", None), self._database, None)

    def disconnect(self, _: Connected) -> None:
        """It stays for the next one."""

    def before_commit(self, database: sqlite3.Connection) -> None:
        """Raises sqlite3.OperationalError when this one is to fail."""
        if self.is_full:
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        if self.fails_next_fsync:
            self.fails_next_fsync = False
            is_there = self._random.random() < 0.5
            self._world.note(f"catalog fsync fails, {is_there=}")
            if is_there:
                database.commit()
            raise _error("disk I/O error", sqlite3.SQLITE_IOERR_FSYNC)

    def close(self) -> None:
        self._database.close()


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error
