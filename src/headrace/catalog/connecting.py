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
from headrace.catalog.seal import Seal

__all__ = ["Connected", "connect", "disconnect", "join"]

BUSY_MS: Final = 5000
"""How long another program (an SQLite shell) may hold the file before a change fails."""

_log = logging.getLogger(__name__)


class Connected(NamedTuple):
    seal: Seal
    connection: sqlite3.Connection
    mapped_fd: int | None
    """Closed after the connection, never before: see `reserve`."""


def connect(path: str) -> Connected:
    """Open the file, made if need be, for the calling thread. Raises CatalogError."""
    seal = connection = mapped_fd = None
    room = f"{path}-reserve"
    try:
        seal, damage = Seal.take(path)
        if damage is not None:
            raise CatalogError(f"it is damaged: {damage}")
        if not allocate(room, RESERVE_BYTES):
            give_up(room)
            raise CatalogError(f"the disk is full, {RESERVE_BYTES} free bytes are needed")
        give_up(room)
        connection = _open(path)
        mapped_fd, has_room = hold_allocated(f"{path}-shm", MAPPED_BYTES)
        if not (has_room and allocate(room, RESERVE_BYTES)):
            _log.warning("catalog %s: the disk is full, another start may fail", path)
    except (CatalogError, sqlite3.Error, OSError, UnicodeDecodeError) as error:
        _close(connection, mapped_fd)
        if seal is not None:
            seal.leave()
        raise CatalogError(f"cannot use the catalog {path}: {error}") from error
    return Connected(seal, connection, mapped_fd)


def join(path: str) -> Connected:
    """Open the file that another process has open with `connect`, and keeps open, for the calling
    thread. The room for the next start is that one's business. Raises CatalogError."""
    seal = None
    try:
        seal, _ = Seal.take(path)
        return Connected(seal, _open(path), None)
    except (CatalogError, sqlite3.Error, OSError, UnicodeDecodeError) as error:
        if seal is not None:
            seal.leave()
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
    except BaseException:
        connection.close()
        raise
    return connection


def disconnect(connected: Connected) -> None:
    """Fold the write-ahead log into the file, close and seal it. Raises sqlite3.Error."""
    try:
        _close(connected.connection, connected.mapped_fd)
        connected.seal.put_back()
    except OSError as error:
        _log.warning("a catalog was closed without a seal: %s", error)
    finally:
        connected.seal.leave()


def _close(connection: sqlite3.Connection | None, mapped_fd: int | None) -> None:
    try:
        if connection is not None:
            connection.close()
    finally:
        if mapped_fd is not None:
            os.close(mapped_fd)
