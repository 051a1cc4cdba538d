"""One data directory for one process or for several, which may be others at every start.

Several workers share `topics/`; what a process keeps for itself each has in a directory of its own:

    workers/<index>/headrace.marks     up to where each partition was synced; see `marks`
    workers/<index>/headrace.clean     there when this worker closed every log of its own

`divide` makes these from what one process left, `settle` makes one process's again of them, so any
number of workers can follow any other. Both go over from one state to the other with a rename:

- `workers.new` is no state, and removed. `workers` is the state of several, whatever stands beside
  it. Without it what is in the data directory itself counts.
- A mark says that the log was synced up to there, so of several the greatest is true.
- All was closed cleanly if every worker closed what was its own.

Called while nobody else uses the directory (`store.lock_directory`). What must not enter: who
serves which partition; the catalog.
"""

import os
from typing import Final

from headrace.log import disk
from headrace.log.checkpoint import remove_if_there, write_durably
from headrace.log.marks import MARKS_NAME, Key, Mark, encode_marks, read_marks
from headrace.log.segment import DELETED_SUFFIX

__all__ = ["CLEAN_NAME", "WORKERS_NAME", "divide", "settle"]

CLEAN_NAME: Final = "headrace.clean"
WORKERS_NAME: Final = "workers"

_NEW: Final = f"{WORKERS_NAME}.new"
_GONE: Final = f"{WORKERS_NAME}{DELETED_SUFFIX}"


def settle(directory: str) -> None:
    """Make it the directory of one process. Raises OSError; may be called again then."""
    for name in (_NEW, _GONE):
        disk.remove_tree(os.path.join(directory, name), ignore_errors=True)
    workers = os.path.join(directory, WORKERS_NAME)
    if not disk.is_directory(workers):
        return
    places = [os.path.join(workers, name) for name in disk.list_names(workers)]
    found = dict[Key, Mark]()
    for place in (directory, *places):
        for key, mark in read_marks(place).items():
            found[key] = max(mark, found.get(key, mark))
    write_durably(os.path.join(directory, MARKS_NAME), encode_marks(found))
    clean = os.path.join(directory, CLEAN_NAME)
    if all(disk.is_there(os.path.join(place, CLEAN_NAME)) for place in places):
        write_durably(clean, b"")
    else:
        remove_if_there(clean)
        disk.fsync_directory(directory)
    gone = os.path.join(directory, _GONE)
    disk.rename(workers, gone)
    disk.fsync_directory(directory)
    disk.remove_tree(gone, ignore_errors=True)


def divide(directory: str, count: int) -> list[str]:
    """Make it the directory of `count` workers, after `settle`; returns each one's own. Raises
    OSError."""
    clean = os.path.join(directory, CLEAN_NAME)
    is_clean = disk.is_there(clean)
    marks = encode_marks(read_marks(directory))
    new = os.path.join(directory, _NEW)
    for index in range(count):
        place = os.path.join(new, str(index))
        disk.make_directories(place)
        write_durably(os.path.join(place, MARKS_NAME), marks)
        if is_clean:
            write_durably(os.path.join(place, CLEAN_NAME), b"")
    disk.fsync_directory(new)
    workers = os.path.join(directory, WORKERS_NAME)
    disk.rename(new, workers)
    disk.fsync_directory(directory)
    if is_clean:
        remove_if_there(clean)
        disk.fsync_directory(directory)
    return [os.path.join(workers, str(index)) for index in range(count)]
