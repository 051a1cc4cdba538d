"""Opening and closing the catalog's file: SQLite in WAL mode, full sync, room for the next start.

What must not enter: threads, changes.
"""

import logging
import os
import sqlite3
from typing import Final, NamedTuple

from headrace.catalog.reserve import (
    MAPPED_BYTES,
    RESERVE_BYTES,
    allocate,
    give_up,
    hold_allocated,
)
from headrace.catalog.schema import CatalogError, prepare

__all__ = ["Connected", "connect", "disconnect", "join"]

BUSY_MS: Final = 5000
"""How long another program (an SQLite shell) may hold the file before a change fails."""

_log = logging.getLogger(__name__)


class Connected(NamedTuple):
    connection: sqlite3.Connection
    mapped_fd: int | None
    """Closed after the connection, never before: see `reserve`."""


def connect(path: str) -> Connected:
    """Open the file, made if need be, for the calling thread. Raises CatalogError."""
    connection = mapped_fd = None
    room = f"{path}-reserve"
    try:
        if not allocate(room, RESERVE_BYTES):
            give_up(room)
            raise CatalogError(f"the disk is full, {RESERVE_BYTES} free bytes are needed")
        give_up(room)
        connection = _open(path)
        mapped_fd, has_room = hold_allocated(f"{path}-shm", MAPPED_BYTES)
        if not (has_room and allocate(room, RESERVE_BYTES)):
            _log.warning("catalog %s: the disk is full, another start may fail", path)
    except (CatalogError, sqlite3.Error, OSError) as error:
        if connection is not None:
            disconnect(Connected(connection, mapped_fd))
        raise CatalogError(f"cannot use the catalog {path}: {error}") from error
    return Connected(connection, mapped_fd)


def join(path: str) -> Connected:
    """Open the file that another process has open with `connect`, and keeps open, for the calling
    thread. The room for the next start is that one's business. Raises CatalogError."""
    try:
        return Connected(_open(path), None)
    except sqlite3.Error as error:
        raise CatalogError(f"cannot use the catalog {path}: {error}") from error


def _open(path: str) -> sqlite3.Connection:
    """Raises CatalogError, sqlite3.Error."""
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=True
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        prepare(connection)
    except (CatalogError, sqlite3.Error):
        connection.close()
        raise
    return connection


def disconnect(connected: Connected) -> None:
    """Fold the write-ahead log into the file and close it. Raises sqlite3.Error."""
    try:
        connected.connection.close()
    finally:
        if connected.mapped_fd is not None:
            os.close(connected.mapped_fd)
