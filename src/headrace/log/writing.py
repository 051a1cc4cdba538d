"""Writing a batch to a file: whole, or not at all.

What must not enter: where a batch belongs (`local`).
"""

import logging

from headrace.log import disk

__all__ = ["write_batch"]

_log = logging.getLogger(__name__)


def write_batch(fd: int, batch: memoryview, position: int) -> None:
    """Write `batch` at the end of the file, at `position`.

    Raises OSError (a full disk, mostly) with nothing appended: what was written of the batch is
    taken away again. If that fails too, the next batch overwrites it or recovery finds it torn.
    """
    try:
        written = disk.pwrite(fd, batch, position)
        if written != len(batch):  # the rest goes in, or the next call says why not
            disk.write(fd, batch[written:], position + written)
    except OSError:
        try:
            disk.truncate(fd, position)
        except OSError as error:
            _log.warning("a part of a batch was not taken back: %s", error)
        raise
