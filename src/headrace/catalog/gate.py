"""Whose turn it is to write, where several processes write to one catalog.

SQLite lets one process write at a time and the others try again after a sleep, which gets longer.
An flock on a file beside the catalog wakes the next one at once, in the order of coming. The kernel
lets go of it for a process that dies. What must not enter: SQL.
"""

import fcntl
import os

__all__ = ["Gate"]


class Gate:
    """A context manager for one thread: inside nobody else writes. The file stays for ever."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def __enter__(self) -> None:
        """Waits for those who came before. Raises OSError."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._fd)
