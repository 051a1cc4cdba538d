"""Putting another disk under the log: for a while, and for the whole process.

What must not enter: what a disk does.
"""

import contextlib
from collections.abc import Iterator

from headrace.log import disk

__all__ = ["mounted"]


@contextlib.contextmanager
def mounted(another: object) -> Iterator[None]:
    """Every call of `headrace.log.disk.CALLS` goes to the method of `another` of that name.

    Mount it while no store is open, and leave when none is any more: descriptors of one disk mean
    nothing to the other. Raises AttributeError, mounting nothing, when a method is missing.
    """
    theirs = {name: getattr(another, name) for name in disk.CALLS}
    ours = {name: getattr(disk, name) for name in disk.CALLS}
    for name, call in theirs.items():
        setattr(disk, name, call)
    try:
        yield
    finally:
        for name, call in ours.items():
            setattr(disk, name, call)
