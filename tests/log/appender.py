"""A process to be killed: appends to a log and prints each offset once it is acknowledged.

Arguments: data directory, durability, producer epoch. It does not outlive the test that started it,
nor the time that a test may take.
"""

import asyncio
import os
import sys
import time
from uuid import UUID

from headrace.log.contract import ACKS_ALL, Appended, LogConfig
from headrace.log.store import LogStore
from headrace.wire.records import Record, build_batch

IN_FLIGHT = 8
LIFE_S = 60.0


async def main(directory: str, durability: str, epoch: int) -> None:
    loop = asyncio.get_running_loop()
    store = LogStore.open(
        directory,
        durability=durability,
        loop=loop,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    log = await store.open_log(UUID(int=7), 0, LogConfig(segment_bytes=100_000))
    print("open", log.offsets().end, flush=True)
    room = asyncio.Semaphore(IN_FLIGHT)

    def acked(outcome: object) -> None:
        assert isinstance(outcome, Appended)
        print(outcome.base_offset, flush=True)
        room.release()

    sequence = 0
    parent = os.getppid()
    while os.getppid() == parent:
        await room.acquire()
        offset = log.offsets().end
        batch = build_batch(
            [Record(timestamp_ms=1, value=b"%d" % offset * (1 + offset % 400))],
            producer_id=1,
            producer_epoch=epoch,
            base_sequence=sequence,
        )
        sequence += 1
        log.append(memoryview(bytearray(batch)), ACKS_ALL, acked)
        await asyncio.sleep(0)


asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2], int(sys.argv[3])), LIFE_S))
