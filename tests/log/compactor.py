"""Processes that compact a log and are killed at their Nth change of the disk, for every N.

Arguments: data directory, directory for what each of them leaves (1, 2, 3 ...). The last one came
to its end and was killed then. They are forked, since starting one anew costs ten times as much.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
from uuid import UUID

from headrace.log import disk as log_disk
from headrace.log.contract import LogConfig
from headrace.log.store import LogStore

CONFIG = LogConfig(segment_bytes=3000, compact=True, delete=False, dirty_ratio_min=0.0)


class Fuse:
    def __init__(self, calls: int) -> None:
        self.calls = calls

    def wrap(self, module: object, name: str) -> None:
        real = getattr(module, name)

        def burn(*arguments: object, **more: object) -> object:
            self.calls -= 1
            if self.calls == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        setattr(module, name, burn)


async def main(directory: str, calls: int) -> None:
    loop = asyncio.get_running_loop()
    store = LogStore.open(
        directory, durability="os", loop=loop, now_ms=lambda: time.time_ns() // 1_000_000
    )
    log = await store.open_log(UUID(int=7), 0, CONFIG)
    fuse = Fuse(calls)
    for name in ("pwrite", "fsync", "fdatasync", "rename", "unlink", "truncate"):
        fuse.wrap(log_disk, name)
    await log.clean(time.time_ns() // 1_000_000, 1 << 20)
    if fuse.calls > 0:
        os._exit(0)


def leave(origin: str, images: str) -> None:
    call = 0
    status = signal.SIGKILL
    while status == signal.SIGKILL:
        call += 1
        image = os.path.join(images, str(call))
        shutil.copytree(origin, image)
        child = os.fork()
        if child == 0:
            asyncio.run(main(image, call))
        _, status = os.waitpid(child, 0)
    assert status == 0, status


leave(*sys.argv[1:])
