"""Everything the log asks of a disk, in one place: the seam where a test puts another disk.

No other module of this package opens, reads, writes, syncs, renames, lists or removes anything by
itself (`tests/log/test_disk.py` looks). Callers name a call when they make it (`disk.pwrite(...)`),
so whoever replaces the names of CALLS here, all at once, has put another disk under the log:
`headrace.testing.disk` does that with one in memory which forgets, tears and fails. It costs the
hot road nothing, since a call is an attribute of this module either way, the system's own function.

CALLS is what a disk has to offer; everything else here is made of those. Descriptors are numbers,
paths are absolute, errors are OSErrors. Linux-only calls have a plain fallback. What must not
enter: what the bytes mean.
"""

import errno
import fcntl
import functools
import logging
import os
import re
import shutil
import sys
from typing import Any, Final

__all__ = [
    "CALLS",
    "can_sync_volume",
    "close",
    "drop_cached",
    "fdatasync",
    "fsync",
    "fsync_directory",
    "is_cached",
    "is_directory",
    "is_there",
    "list_names",
    "lock",
    "make_directories",
    "open_file",
    "pread",
    "preadv",
    "pwrite",
    "read",
    "read_cached",
    "read_file",
    "release",
    "remove_tree",
    "rename",
    "send",
    "size_of",
    "sync_volume",
    "truncate",
    "unlink",
    "unwritten_bytes",
    "volume_of",
    "will_need",
    "write",
]

CALLS: Final = (
    *("open_file", "close", "pread", "preadv", "pwrite", "truncate", "size_of", "send", "lock"),
    *("fsync", "fdatasync", "can_sync_volume", "sync_volume", "unwritten_bytes", "volume_of"),
    *("read_cached", "is_cached", "will_need", "drop_cached"),
    *("rename", "unlink", "list_names", "is_there", "is_directory"),
    *("make_directories", "remove_tree"),
)
"""The names of this module that are a disk. A mistake in one is a mistake under everything."""

_log = logging.getLogger(__name__)

close = os.close
pread = os.pread
preadv = os.preadv
pwrite = os.pwrite
truncate = os.ftruncate
send = os.sendfile
"""(socket's descriptor, file's, position, size) -> bytes that the socket took."""
fsync = os.fsync
rename = os.replace
unlink = os.unlink
list_names = os.listdir
is_there = os.path.exists
is_directory = os.path.isdir
remove_tree = shutil.rmtree
volume_of = os.statvfs

_SYNCFS_REPORTS_ERRORS_SINCE: Final = (5, 8)
"""Before this Linux, syncfs said that all is well also when it was not."""

PROBE_BYTES: Final = 128 * 1024
"""How far apart `is_cached` looks: the kernel reads ahead and evicts in runs of about this size."""


def open_file(path: str, flags: int) -> int:
    """A descriptor of the file, or of a directory to sync it; `flags` as of open(2)."""
    return os.open(path, flags, 0o644)


def size_of(file: str | int) -> int:
    """The bytes of a path or a descriptor."""
    return os.stat(file).st_size


def make_directories(path: str, *, exist_ok: bool = False) -> None:
    os.makedirs(path, exist_ok=exist_ok)


def lock(fd: int) -> None:
    """Have the file alone, until it is closed. Raises OSError EWOULDBLOCK or EACCES when another
    process has it."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def release(fd: int) -> None:
    """Close. An error is only logged: the descriptor is closed all the same, and what is on the
    disk, syncs say."""
    try:
        close(fd)
    except OSError as error:
        _log.warning("a file was closed with an error: %s", error)


def fsync_directory(path: str) -> None:
    """Make the directory's entries durable: files created, renamed or removed in it."""
    fd = open_file(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fsync(fd)
    finally:
        release(fd)


def read(fd: int, size_bytes: int, position: int) -> bytes:
    """As many bytes, or all that the file has: a call of the system may give fewer."""
    data = pread(fd, size_bytes, position)
    if len(data) == size_bytes:
        return data
    parts = [data]
    while parts[-1] and size_bytes > len(parts[-1]):
        size_bytes -= len(parts[-1])
        position += len(parts[-1])
        parts.append(pread(fd, size_bytes, position))
    return b"".join(parts)


def read_file(path: str) -> bytes:
    """All that is in the file."""
    fd = open_file(path, os.O_RDONLY)
    try:
        return read(fd, size_of(fd), 0)
    finally:
        release(fd)


def write(fd: int, data: bytes | bytearray | memoryview, position: int) -> int:
    """Write all of `data`, however many calls that takes; returns the position after it."""
    view = memoryview(data)
    while view:
        got = pwrite(fd, view, position)
        if got == 0:
            raise OSError(errno.ENOSPC, "the disk takes no more bytes")
        position += got
        view = view[got:]
    return position


if sys.platform == "linux":
    fdatasync = os.fdatasync
else:
    _full_sync: Final = getattr(fcntl, "F_FULLFSYNC", None)

    def fdatasync(fd: int) -> None:
        """Make the file's bytes durable; on macOS a plain fsync leaves them in the drive."""
        if _full_sync is None:
            os.fsync(fd)
        else:
            fcntl.fcntl(fd, _full_sync)


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
