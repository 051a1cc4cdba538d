"""A log in which one trouble does not drown the others: lines that repeat are counted instead.

A full disk refuses every commit of a group, and a refusal is worth a line; ten of them a second are
worth nothing, and may fill another disk. What must not enter: what is logged, and where to.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["LINES_MAX", "WINDOW_S", "RepeatedLines"]

LINES_MAX: Final = 10
"""Of one text in one window, that are written."""
WINDOW_S: Final = 10.0
TEXTS_MAX: Final = 1000
"""That are counted; beyond it counting begins anew."""


class RepeatedLines(logging.Filter):
    """For a handler. Lines repeat if they name the same things too, so each partition that is in
    trouble is named. Only warnings and errors are counted. The next such line that is written tells
    of those that were not. Any thread: no lock is held here, and a count may be off by a few."""

    def __init__(self, steady_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._steady_s = steady_s
        self._seen: dict[str, tuple[float, int]] = {}
        """When the window of a text began, and the lines in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        text = record.getMessage()
        now_s = self._steady_s()
        began_s, count = self._seen.get(text, (now_s, 0))
        left_out = 0
        if now_s - began_s >= WINDOW_S:
            left_out = max(0, count - LINES_MAX)
            began_s, count = now_s, 0
        if len(self._seen) >= TEXTS_MAX and text not in self._seen:
            self._seen.clear()
        self._seen[text] = (began_s, count + 1)
        if left_out:
            record.msg = f"{text} (and {left_out} more like it before)"
            record.args = ()
        return count < LINES_MAX
