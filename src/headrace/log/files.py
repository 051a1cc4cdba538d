"""Open descriptors, counted: a slice handed to a reader keeps its file after the segment is gone.

What must not enter: paths that mean something, offsets, batches. Loop thread only: counts are
plain integers, and a thread that works on a descriptor relies on a count taken for it before.
"""

import os

__all__ = ["OpenFile"]


class OpenFile:
    """A descriptor that is closed when its last user lets go."""

    __slots__ = ("_users", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._users = 1

    def acquire(self) -> "OpenFile":
        self._users += 1
        return self

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            os.close(self.fd)
