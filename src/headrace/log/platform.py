"""The system calls of the log, in one place: Linux-only ones with a plain fallback.

Every write, sync and lookup of the page cache in this package goes through a name of this module,
so a test can make the Nth call fail, and another system needs changes here only. What must not
enter: what the bytes mean.
"""

import errno
import os
import sys
from typing import Final

__all__ = [
    "drop_cached",
    "fdatasync",
    "fsync",
    "fsync_directory",
    "is_cached",
    "pread",
    "preadv",
    "pwrite",
    "read_cached",
    "truncate",
    "unlink",
    "will_need",
]

pread: Final = os.pread
preadv: Final = os.preadv
pwrite = os.pwrite
"""Not Final: the tests of a full disk put another function here."""
fsync = os.fsync
truncate = os.ftruncate
unlink = os.unlink

PROBE_BYTES: Final = 128 * 1024
"""How far apart `is_cached` looks: the kernel reads ahead and evicts in runs of about this size."""

if sys.platform == "linux":
    fdatasync = os.fdatasync
else:
    import fcntl

    _full_sync: Final = getattr(fcntl, "F_FULLFSYNC", None)

    def fdatasync(fd: int) -> None:
        """Make the file's bytes durable; on macOS a plain fsync leaves them in the drive."""
        if _full_sync is None:
            os.fsync(fd)
        else:
            fcntl.fcntl(fd, _full_sync)


def fsync_directory(path: str) -> None:
    """Make the directory's entries durable: files created, renamed or removed in it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync(fd)
    finally:
        os.close(fd)


if sys.platform == "linux":

    def read_cached(fd: int, size_bytes: int, position: int) -> bytes:
        """Like pread, but raises BlockingIOError rather than wait for the disk, or where the file
        system cannot say whether it would."""
        buffer = bytearray(size_bytes)
        try:
            got = os.preadv(fd, [buffer], position, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise BlockingIOError from error
            raise
        if got < size_bytes:
            raise BlockingIOError
        return bytes(buffer)

    def is_cached(fd: int, position: int, size_bytes: int) -> bool:
        """Whether the range looks resident in the page cache: its ends and a byte every
        PROBE_BYTES are asked for, without waiting. A file system that cannot say counts as no.
        """
        byte = [bytearray(1)]
        last = position + size_bytes - 1
        try:
            for at in range(position, last, PROBE_BYTES):
                if os.preadv(fd, byte, at, os.RWF_NOWAIT) != 1:
                    return False
            return os.preadv(fd, byte, last, os.RWF_NOWAIT) == 1
        except OSError:  # EAGAIN: not resident; EOPNOTSUPP: not known
            return False

    def will_need(fd: int, position: int, size_bytes: int) -> None:
        """Ask the kernel to read the range ahead."""
        os.posix_fadvise(fd, position, size_bytes, os.POSIX_FADV_WILLNEED)

    def drop_cached(fd: int) -> None:
        """Forget the file's clean pages, so that the next read shows what the disk holds."""
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

else:

    def read_cached(fd: int, size_bytes: int, position: int) -> bytes:
        """Like pread, but raises BlockingIOError rather than wait: here it cannot be known."""
        raise BlockingIOError

    def is_cached(fd: int, position: int, size_bytes: int) -> bool:
        """Whether the range is resident in the page cache: here it cannot be known."""
        return False

    def will_need(fd: int, position: int, size_bytes: int) -> None:
        """Ask the kernel to read the range ahead: it reads ahead by itself."""

    def drop_cached(fd: int) -> None:
        """Forget the file's clean pages: no portable call does."""
