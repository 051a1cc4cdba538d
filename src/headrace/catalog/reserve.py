"""Room on the disk that a start of the catalog cannot do without, kept while there is some.

SQLite maps a file, `catalog.db-shm`, into memory and writes a byte of every 4 KiB of it to make
sure that it is there. On a file system with smaller blocks that leaves holes, and writing into a
hole of a mapped file on a full disk kills the process (SIGBUS). So a file of RESERVE_BYTES lies
beside the catalog: a start gives it up while SQLite opens its files, allocates the mapped one
whole, and takes the room again. Where there is no such room, the start is refused.

The mapped file stays open as long as SQLite's connection: to close any descriptor of a file gives
up every POSIX lock that this process has on it. Without SQLite's lock the next process that reads
the catalog takes the map for a dead one's and truncates it, which kills this process (SIGBUS).
What must not enter: SQL.
"""

import errno
import os
from typing import Final

__all__ = ["MAPPED_BYTES", "RESERVE_BYTES", "allocate", "give_up", "hold_allocated"]

RESERVE_BYTES: Final = 256 * 1024
MAPPED_BYTES: Final = 128 * 1024
"""The map of a write-ahead log of 16,000 pages; it is folded into the catalog every 1,000."""

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def allocate(path: str, size_bytes: int) -> bool:
    """Let the file at `path` have `size_bytes` on the disk, made if need be; False if the disk is
    too full. On systems that cannot do this, nothing is done. Raises OSError."""
    fd, has_room = hold_allocated(path, size_bytes)
    os.close(fd)
    return has_room


def hold_allocated(path: str, size_bytes: int) -> tuple[int, bool]:
    """As `allocate`, with the descriptor, which the caller closes. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size_bytes)
    except OSError as error:
        if error.errno in _NO_SPACE:
            return fd, False
        os.close(fd)
        raise
    return fd, True


def give_up(path: str) -> None:
    """Free what the file at `path` takes. Raises OSError."""
    os.truncate(path, 0)
