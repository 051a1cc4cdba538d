"""Open descriptors, counted: who reads or syncs a file keeps it open, also when the segment is
closed or deleted meanwhile.

What must not enter: paths that mean something, offsets, batches.
"""

import threading
from typing import Final

from headrace.log import disk

__all__ = ["OpenFile"]

_COUNTING: Final = threading.Lock()


class OpenFile:
    """A descriptor that is closed when its last user lets go. Any thread may take and let go."""

    __slots__ = ("_users", "fd")

    def __init__(self, fd: int) -> None:
        """The maker is the first user."""
        self.fd = fd
        self._users = 1

    def acquire(self) -> "OpenFile":
        """Be a user as well. Raises ValueError when the descriptor is closed."""
        with _COUNTING:
            if self._users == 0:
                raise ValueError("the file is closed")
            self._users += 1
        return self

    def release(self) -> None:
        with _COUNTING:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            disk.release(self.fd)
