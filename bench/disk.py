"""What files give a program that does nothing but write, or write and fdatasync: the yardstick."""

import os
import time
from typing import NamedTuple

__all__ = ["Looped", "plain_loop", "touch_memory"]


class Looped(NamedTuple):
    requests: int
    size_bytes: int
    elapsed_s: float


def touch_memory(directory: str, size_bytes: int) -> None:
    """Write and remove a file of this size, so that what follows finds pages to write to.

    A virtual machine gets a page of memory from its host when it first touches it, which takes ten
    times as long as writing a page, and may have to give unused ones back. Without this a
    measurement is one of the host.
    """
    path = os.path.join(directory, "touched")
    block = bytes(1 << 20)
    with open(path, "wb", buffering=0) as file:
        file.writelines(block for _ in range(size_bytes >> 20))
    os.unlink(path)


def plain_loop(
    directory: str, batch: bytes, *, sync: bool, seconds: float, bytes_max: int
) -> Looped:
    """Append `batch`, and fdatasync if `sync`, again and again to a new file in `directory`."""
    path = os.path.join(directory, "plain-loop")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    count = position = 0
    try:
        started = now = time.perf_counter()
        while now - started < seconds and position < bytes_max:
            os.pwrite(file, batch, position)
            if sync:
                os.fdatasync(file)
            position += len(batch)
            count += 1
            now = time.perf_counter()
    finally:
        os.close(file)
        os.unlink(path)
    return Looped(count, position, now - started)
