"""Bytes set aside, so that a full disk can still be told what to forget.

Deleting takes space first: before files may go, a checkpoint that does without them has to be
durable, and for a topic a row in the catalog. On a full disk there is none, and retention, which
would make some, would wait for ever. So the file `headrace.reserve` keeps RESERVE_BYTES of real
blocks. Who deletes and meets a full disk has it give them up (`spend`), tries once more, and has
it set them aside again (`refill`) when that made space.

Without the reserve (it did not fit either) everything works as well, but on a full disk nothing
can be deleted. What must not enter: what is deleted.
"""

import errno
import logging
import os
from typing import Final

__all__ = ["RESERVE_BYTES", "RESERVE_NAME", "Reserve", "is_full"]

RESERVE_NAME: Final = "headrace.reserve"
RESERVE_BYTES: Final = 4 * 1024 * 1024
"""More than the checkpoint of a partition with as many producers as it remembers."""

_ZEROS: Final = bytes(64 * 1024)

_log = logging.getLogger(__name__)


def is_full(error: OSError) -> bool:
    """Whether it is space that is missing."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """Blocks on the disk: threads only, but for `is_spent`."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, RESERVE_NAME)
        self.is_spent = False
        self.refill()

    def spend(self) -> None:
        """Give the bytes back to the disk. Raises OSError."""
        self.is_spent = True
        os.truncate(self._path, 0)

    def refill(self) -> None:
        """Set the bytes aside, if the disk has them."""
        try:
            _allocate(self._path, RESERVE_BYTES)
        except OSError as error:
            if not self.is_spent:
                _log.warning("%s: no space could be set aside: %s", self._path, error)
            self.is_spent = True
        else:
            self.is_spent = False


def _allocate(path: str, size_bytes: int) -> None:
    """Make the file `size_bytes` long, with blocks behind all of it. Raises OSError; the file is
    empty then."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        position = os.fstat(fd).st_size
        try:
            while position < size_bytes:
                piece = _ZEROS[: size_bytes - position]
                position += os.pwrite(fd, piece, position)
        except OSError:
            os.ftruncate(fd, 0)
            raise
    finally:
        os.close(fd)
