"""What the disk gives a program that does nothing but write and fdatasync: the yardstick."""

import os
import time

from bench.raw import Produced

__all__ = ["write_and_sync"]


def write_and_sync(directory: str, batch: bytes, *, seconds: float, bytes_max: int) -> Produced:
    """Append `batch` and fdatasync, again and again, to a new file in `directory`."""
    path = os.path.join(directory, "plain-loop")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    latencies: list[float] = []
    position = 0
    try:
        started = now = time.perf_counter()
        while now - started < seconds and position < bytes_max:
            os.pwrite(file, batch, position)
            os.fdatasync(file)
            position += len(batch)
            done = time.perf_counter()
            latencies.append(done - now)
            now = done
    finally:
        os.close(file)
        os.unlink(path)
    return Produced(len(latencies), position, now - started, latencies)
