"""Syncing the whole volume at once, where many logs of it are dirty.

A sync costs a commit of the file system's journal, and syncing file after file costs one each:
60 files took 2.5 ms with eight threads and 19 ms with one, the whole volume 0.75 ms (ext4, 1 KB
appended to each). But the volume may hold the dirty bytes of other processes too, and theirs
would be waited for. So it is synced whole only while the kernel has little to write at all, and
not for a while after that took long.

Nor ever again once it failed. The kernel tells of that once: what another log had written by then
may be gone too, and the next sync of the volume would say that all is well. Its own file's sync
says so.

What must not enter: logs.
"""

import os
import time
from typing import Final

from headrace.log import disk

__all__ = ["Volume"]

LOGS_MIN: Final = 4
"""Fewer dirty logs are synced file by file."""
UNWRITTEN_BYTES_MAX: Final = 32 * 1024 * 1024
"""Above that, logs are synced file by file: somebody writes much, perhaps not we."""
SLOW_S: Final = 0.05
PAUSE_S: Final = 10.0
"""After a sync that took SLOW_S, logs are synced file by file for so long."""


class Volume:
    """The volume of a data directory; used by one thread."""

    def __init__(self, directory: str) -> None:
        """Raises OSError."""
        self._fd = disk.open_file(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._paused_until_s = 0.0
        self._has_failed = False

    def is_worth_syncing(self, dirty_logs: int) -> bool:
        """Whether this is likely to be quicker than file by file."""
        return (
            dirty_logs >= LOGS_MIN
            and not self._has_failed
            and disk.can_sync_volume()
            and time.monotonic() >= self._paused_until_s
            and self._is_little_unwritten()
        )

    def _is_little_unwritten(self) -> bool:
        try:
            return disk.unwritten_bytes() <= UNWRITTEN_BYTES_MAX
        except OSError:  # no descriptor to look with; syncing file by file needs none
            return False

    def sync(self) -> None:
        """Make durable what is in any file of the volume. Raises OSError if any could not be
        written; which one, its own sync will say."""
        start_s = time.monotonic()
        try:
            disk.sync_volume(self._fd)
        except OSError:
            self._has_failed = True
            raise
        end_s = time.monotonic()
        if end_s - start_s > SLOW_S:
            self._paused_until_s = end_s + PAUSE_S

    def close(self) -> None:
        disk.release(self._fd)
