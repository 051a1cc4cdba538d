"""Writing a batch to a file: whole, or not at all.

What must not enter: where a batch belongs (`local`).
"""

import errno
import logging

from headrace.log import platform

__all__ = ["write_batch"]

_log = logging.getLogger(__name__)


def write_batch(fd: int, batch: memoryview, position: int) -> None:
    """Write `batch` at the end of the file, at `position`.

    Raises OSError (a full disk, mostly) with nothing appended: what was written of the batch is
    taken away again. If that fails too, the next batch overwrites it or recovery finds it torn.
    """
    try:
        if platform.pwrite(fd, batch, position) != len(batch):
            _write_rest(fd, batch, position)
    except OSError:
        try:
            platform.truncate(fd, position)
        except OSError as error:
            _log.warning("a part of a batch was not taken back: %s", error)
        raise


def _write_rest(fd: int, batch: memoryview, position: int) -> None:
    """The system took a part; the rest goes in, or the next call says why not."""
    written = 0
    while written < len(batch):
        more = platform.pwrite(fd, batch[written:], position + written)
        if more == 0:
            raise OSError(errno.ENOSPC, "the disk takes no more bytes")
        written += more
