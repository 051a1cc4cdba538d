"""The data directory while several workers use it: taken, brought into order, divided.

The lock and the catalog stay open here for as long as any worker may run. With the catalog stays
its write-ahead log, so that a worker that comes back joins it. What must not enter: processes.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack
from typing import Final, Self
from uuid import UUID

from headrace.catalog.catalog import CATALOG_NAME
from headrace.catalog.connecting import connect, disconnect
from headrace.catalog.schema import CatalogError
from headrace.log.settling import divide, remove_orphans, settle
from headrace.log.store import TOPICS_NAME, DataDirectoryInUse, lock_directory

__all__ = ["DirectoryError", "SharedDirectory"]

_LINK_PATH_MAX: Final = 90
"""Of a directory with Unix sockets, whose whole path has 104 bytes at the least."""


class DirectoryError(Exception):
    """The data directory cannot be used: why, for a person."""


class SharedDirectory:
    """A context manager; at its end no worker may run any more."""

    def __init__(self, path: str, workers: int) -> None:
        """Raises DirectoryError."""
        self.path = path
        topics = os.path.join(path, TOPICS_NAME)
        try:
            with ExitStack() as undo:
                os.makedirs(topics, exist_ok=True)
                self.lock_fd = lock_directory(path)
                undo.callback(os.close, self.lock_fd)
                settle(path)
                catalog = connect(os.path.join(path, CATALOG_NAME))
                undo.callback(disconnect, catalog)
                rows = catalog.connection.execute("SELECT id FROM topics").fetchall()
                remove_orphans(topics, {UUID(hex=topic_id) for (topic_id,) in rows})
                self.own_dirs = divide(path, workers)
                self.links_dir = _make_links_dir()
                undo.callback(shutil.rmtree, self.links_dir, ignore_errors=True)
                self._undo = undo.pop_all()
        except (DataDirectoryInUse, CatalogError) as error:
            raise DirectoryError(str(error)) from error
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or error
            raise DirectoryError(f"the data directory {path} cannot be used: {why}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it as one process does. Raises DirectoryError."""
        lock = contextlib.closing(self._undo)
        with lock:
            try:
                settle(self.path)
            except OSError as error:
                raise DirectoryError(f"{self.path} was not left in order: {error}") from error


def _make_links_dir() -> str:
    """A directory that nobody else may enter, with a short path."""
    place = tempfile.gettempdir()
    if len(place) > _LINK_PATH_MAX:
        place = "/tmp"  # noqa: S108 - mkdtemp makes the name, and nobody else may enter
    return tempfile.mkdtemp(prefix="headrace-", dir=place)
