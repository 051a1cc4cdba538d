"""Whether the catalog's files are as they were left: `catalog.db-seal`, and who has them open.

SQLite sees damage of its structure, not of what is in the rows: a committed offset with a flipped
bit is an offset. So who closes the catalog last writes down what the whole file sums to, and who
opens it first compares, and takes the seal off before anything is changed. After a crash there is
no seal; the write-ahead log has checksums of its own, and `wal` looks whether it is whole.

The file, little-endian; it is empty while a broker runs and after it was killed:

    byte  field       type
    0     magic       4 bytes, "HRSL"
    4     size        i64, of catalog.db in bytes
    12    content     u32, CRC-32C of catalog.db
    16    crc         u32, CRC-32C of bytes 0 to 16

Everybody who has the catalog open holds `flock` on it, shared; to compare and to write takes it
alone, so several processes may share a catalog. What must not enter: SQL.
"""

import fcntl
import os
import struct
from functools import partial
from typing import Final

from headrace.catalog.wal import damage_in
from headrace.wire.crc import crc32c, crc32c_of

__all__ = ["LOG_BYTES_MAX", "Seal"]

LOG_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the write-ahead log so much is gone through, in two seconds. It has 4 MiB, and more only if
another program held an old state of the catalog; SQLite looks at the rest of it by itself."""

_SEAL: Final = struct.Struct("<4sqII")
_MAGIC: Final = b"HRSL"
_SUMMED_BYTES: Final = 16
_MAP_BYTES: Final = 96
"""Of the `-shm` file: its header, twice."""
_PIECE_BYTES: Final = 128 * 1024
"""Read at once to sum up the file. It is not mapped: a disk that cannot read a page of a map, or
a file that somebody shortens, would kill the process (SIGBUS)."""


class Seal:
    """Held open as long as the catalog is: `take`, then `put_back` when SQLite has closed it."""

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def take(cls, path: str) -> tuple["Seal", str | None]:
        """The seal of the catalog at `path`, and what is damaged, if we are the first to see it.
        Raises OSError."""
        fd = os.open(f"{path}-seal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while True:
                if _lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    damage = _damage(path, fd)
                    if damage is None and os.fstat(fd).st_size:
                        os.ftruncate(fd, 0)
                        os.fsync(fd)
                    fcntl.flock(fd, fcntl.LOCK_SH)
                    return cls(path, fd), damage
                fcntl.flock(fd, fcntl.LOCK_SH)
                if not os.fstat(fd).st_size:
                    return cls(path, fd), None  # others have it open, and have looked
                fcntl.flock(fd, fcntl.LOCK_UN)  # they have closed it meanwhile
        except BaseException:
            os.close(fd)
            raise

    def put_back(self) -> None:
        """Write down how the catalog was left, if nobody else has it open and all of it is in the
        one file. Raises OSError."""
        try:
            if not _lock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return
            if _content(f"{self._path}-wal", 1):
                return
            size, content = _sum(self._path)
            body = _SEAL.pack(_MAGIC, size, content, 0)[:_SUMMED_BYTES]
            os.pwrite(self._fd, body + struct.pack("<I", crc32c(memoryview(body))), 0)
            os.fsync(self._fd)
        finally:
            self.leave()

    def leave(self) -> None:
        """Let go, with the seal as it is. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how)
    except BlockingIOError:
        return False
    return True


def _damage(path: str, fd: int) -> str | None:
    if _content(f"{path}-wal", 1):
        _settle(f"{path}-wal")
        log = _content(f"{path}-wal", LOG_BYTES_MAX)
        shared_map = _content(f"{path}-shm", _MAP_BYTES)
        why = damage_in(log, shared_map, is_cut=len(log) == LOG_BYTES_MAX)
        return why and (
            f"its write-ahead log {path}-wal is damaged: {why}; put back a copy of both, or remove "
            "that file to go on without the changes in it"
        )
    seal = os.pread(fd, _SEAL.size, 0)
    if len(seal) < _SEAL.size:
        return None
    magic, size, content, crc = _SEAL.unpack(seal)
    if magic != _MAGIC or crc != crc32c(memoryview(seal)[:_SUMMED_BYTES]):
        return None  # it is the seal that is damaged
    if not os.path.exists(path):
        return f"it is missing; {path}-seal says that it has {size} bytes"
    if _sum(path) == (size, content):
        return None
    return (
        f"it has changed since it was closed: put back a copy, or remove {path}-seal if it was "
        "changed on purpose"
    )


def _settle(path: str) -> None:
    """Make durable what a killed process had written and not synced: SQLite takes it for
    committed, and what clients are told of it must not be gone after a power cut. And forget its
    pages: where a sync has failed they hold what the disk does not. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _sum(path: str) -> tuple[int, int]:
    """Size and CRC-32C of the file. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        content = crc32c_of(iter(partial(file.read, _PIECE_BYTES), b""))
        return file.tell(), content


def _content(path: str, size_bytes: int) -> bytes:
    """So many bytes of it, or all. Raises OSError; a file that is not there is empty."""
    try:
        with open(path, "rb") as file:
            return file.read(size_bytes)
    except FileNotFoundError:
        return b""
