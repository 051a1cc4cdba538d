"""Standard output and error of a server, which may be closed, full, or read by nobody.

What must not enter: what is said.
"""

import os
import select
import sys
from typing import Final

__all__ = ["hold_descriptors", "say"]

UNREAD_S_MAX: Final = 2.0
"""How long a full pipe may stay full before nobody is believed to read it."""


def hold_descriptors() -> None:
    """Open descriptors 0 to 2 where they are closed: else the next file or socket would get such a
    number, and lines meant for a person would be written into it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def say(text: str) -> None:
    """Print to standard output, now; to nobody if it was closed.

    Raises OSError when it cannot be written; what is said from then on is lost.
    """
    if sys.stdout is None:
        return
    try:
        if not select.select([], [sys.stdout], [], UNREAD_S_MAX)[1]:
            raise TimeoutError("nobody reads it")
        print(text, flush=True)
    except OSError:
        # What is buffered can never be written: give it somewhere to go at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
