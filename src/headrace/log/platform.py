"""The system calls of the log, in one place: Linux-only ones with a plain fallback.

Every write, sync and lookup of the page cache in this package goes through a name of this module,
so a test can make the Nth call fail, and another system needs changes here only. What must not
enter: what the bytes mean.
"""

import errno
import functools
import os
import re
import sys
from typing import Any, Final

__all__ = [
    "can_sync_volume",
    "drop_cached",
    "fdatasync",
    "fsync",
    "fsync_directory",
    "is_cached",
    "pread",
    "preadv",
    "pwrite",
    "read_cached",
    "rename",
    "sync_volume",
    "truncate",
    "unlink",
    "unwritten_bytes",
    "will_need",
]

pread: Final = os.pread
preadv: Final = os.preadv
pwrite = os.pwrite
"""Not Final: the tests of a full disk put another function here."""
fsync = os.fsync
rename = os.rename
truncate = os.ftruncate
unlink = os.unlink

_SYNCFS_REPORTS_ERRORS_SINCE: Final = (5, 8)
"""Before this Linux, syncfs said that all is well also when it was not."""

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

    @functools.cache
    def _syncfs() -> Any:
        import ctypes  # only directories with several busy partitions need it

        major, minor = re.findall(r"\d+", os.uname().release)[:2]
        if (int(major), int(minor)) < _SYNCFS_REPORTS_ERRORS_SINCE:
            return None
        return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)

    def can_sync_volume() -> bool:
        """Whether `sync_volume` exists here and tells of failures."""
        return _syncfs() is not None

    def sync_volume(fd: int) -> None:
        """Make everything on the volume durable. Raises OSError when writing back any file of it
        failed since `fd` was opened or synced so last; it does not say which."""
        if _syncfs()(fd) != 0:
            import ctypes

            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def unwritten_bytes() -> int:
        """What the kernel has yet to write to all its disks together, from every process."""
        with open("/proc/meminfo", "rb") as file:
            found = re.findall(rb"^(?:Dirty|Writeback): +(\d+) kB$", file.read(), re.MULTILINE)
        return sum(map(int, found)) * 1024

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

    def can_sync_volume() -> bool:
        """Whether `sync_volume` exists here and tells of failures."""
        return False

    def sync_volume(fd: int) -> None:
        """Make everything on the volume durable: no portable call does."""
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def unwritten_bytes() -> int:
        """What the kernel has yet to write to all its disks together: here it cannot be known."""
        return 0

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
