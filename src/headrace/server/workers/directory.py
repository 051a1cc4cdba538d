"""The data directory while several workers use it: taken, brought into order, divided.

The lock and the catalog stay open here for as long as any worker may run. With the catalog stays
its write-ahead log, so that a worker that comes back joins it. What must not enter: processes.
"""

import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from typing import Final, Self

from headrace.broker.orphans import check_catalog_is_there, orphans
from headrace.catalog.catalog import Catalog
from headrace.catalog.schema import CatalogError
from headrace.log.settling import divide, settle
from headrace.log.store import DataDirectoryInUse, lock_directory, make_data_directory
from headrace.log.topic_files import TopicFiles
from headrace.wire.errors import RequestError

__all__ = ["DirectoryError", "SharedDirectory"]

_PLACE_BYTES_MAX: Final = 80
"""Of the directory that the one with Unix sockets is made in; their path, some 20 bytes longer, may
have 103 bytes on some systems and 107 on others."""


class DirectoryError(Exception):
    """The data directory cannot be used: why, for a person."""


class SharedDirectory:
    """Made by `open`; at the end of it as an async context no worker may run any more."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock_fd = -1
        self.own_dirs: list[str] = []
        self.links_dir = ""
        self._undo = AsyncExitStack()

    @classmethod
    async def open(cls, path: str, workers: int) -> Self:
        """Raises DirectoryError."""
        directory = cls(path)
        try:
            async with AsyncExitStack() as undo:
                directory._undo = undo
                await directory._open(workers)
                directory._undo = undo.pop_all()
        except (DataDirectoryInUse, CatalogError, RequestError) as error:
            raise DirectoryError(str(error)) from error
        except OSError as error:
            why = error.strerror or error
            raise DirectoryError(f"the data directory {path} cannot be used: {why}") from error
        return directory

    async def _open(self, workers: int) -> None:
        files = TopicFiles(self.path)
        make_data_directory(self.path)
        self.lock_fd = lock_directory(self.path)
        self._undo.callback(os.close, self.lock_fd)
        settle(self.path)
        check_catalog_is_there(files, self.path)
        catalog = await Catalog.open(self.path)
        self._undo.push_async_callback(catalog.close)
        for leftover in files.leftovers():
            shutil.rmtree(leftover)
        known = {row.id for row in await catalog.topics.load_all()}
        deleted = await catalog.topics.deleted()
        for orphan in orphans(files, known, deleted):
            files.remove(orphan)
        await catalog.topics.files_are_gone(deleted - files.topic_ids())
        self.own_dirs = divide(self.path, workers)
        self.links_dir = _make_links_dir()
        self._undo.callback(shutil.rmtree, self.links_dir, ignore_errors=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave it as one process does. Raises DirectoryError."""
        try:
            async with self._undo:
                settle(self.path)
        except (OSError, CatalogError) as error:
            raise DirectoryError(f"{self.path} was not left in order: {error}") from error


def _make_links_dir() -> str:
    """A directory that nobody else may enter, with a short path."""
    place = tempfile.gettempdir()
    if len(os.fsencode(place)) > _PLACE_BYTES_MAX:
        place = "/tmp"  # noqa: S108 - mkdtemp makes the name, and nobody else may enter
    return tempfile.mkdtemp(prefix="headrace-", dir=place)
