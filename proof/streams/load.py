"""The load: all producers on few connections; the rate rises and falls, streams come and go.

Everything random follows from the seed; what happens also follows from the broker's times.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proof.streams.connection import Connection
from proof.streams.judge import Name, Told
from proof.streams.producer import Counts, Producer

__all__ = ["Plan", "run_load"]

SLOTS: Final = 20
"""Every producer has its turn once in so many ticks."""
TICK_S: Final = 0.05
OPEN_S_MAX: Final = 60.0
END_S_MAX: Final = 60.0
PADDINGS: Final = [b"x" * size for size in range(40, 120, 10)]
RECORD_BYTES: Final = 110
"""About, on average."""


@dataclass(frozen=True)
class Plan:
    seconds: float
    seed: int
    streams: int = 2048
    connections: int = 4
    records_per_s: float = 10.0
    """Of a producer on average, when the wave is highest."""
    wave_s: float = 30.0
    """From one low to the next."""
    life_s: float = 20.0
    """After which a producer ends its stream by itself, on average."""
    hot_at_top: float = 12.0
    """The wave's top is what so many hot partitions carry."""
    partitions: int = 1
    """That the topic begins with."""
    kills: int = 0
    """Of workers that have partitions and no gRPC door."""
    topic: str = "proof.streams.events"

    @property
    def hot_bytes_per_s(self) -> int:
        return round(self.streams * self.records_per_s * RECORD_BYTES / self.hot_at_top)

    def configs(self) -> dict[str, str]:
        """Of the topic."""
        return {
            "headrace.partitions.elastic": "true",
            "headrace.partitions.min": "1",
            "headrace.partitions.max": "24",
            "headrace.partitions.hot.bytes.per.second": str(self.hot_bytes_per_s),
            "headrace.partitions.cool.down.ms": "500",
            "headrace.stream.close.grace.ms": "5000",
        }


async def run_load(
    plan: Plan, port: int, counts: Counts, watch: Callable[[float], None]
) -> dict[Name, Told]:
    """Returns what was sent and acknowledged, by stream; `watch` is called once a second. Whatever
    goes wrong is in `counts.problems`."""
    chance = random.Random(plan.seed)
    connections = [
        await _connect(plan, port, counts.problems.append) for _ in range(plan.connections)
    ]
    producers = [
        Producer(number, connections[number % plan.connections], plan.topic, counts)
        for number in range(plan.streams)
    ]
    for connection in connections:
        connection.flush()
    await _until(lambda: counts.open == plan.streams, OPEN_S_MAX, "not all streams opened", counts)
    await _send(plan, chance, producers, connections, watch)
    for producer in producers:
        producer.finish()
    for connection in connections:
        connection.flush()
    await _until(lambda: all(p.is_done for p in producers), END_S_MAX, "streams hang", counts)
    for connection in connections:
        connection.close()
    return {
        Name(number, opening): told
        for number, producer in enumerate(producers)
        for opening, told in enumerate(producer.told)
    }


async def _connect(plan: Plan, port: int, broken: Callable[[str], None]) -> Connection:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(
        lambda: Connection(plan.topic, broken), "127.0.0.1", port
    )
    return made


async def _until(is_so: Callable[[], bool], seconds: float, else_: str, counts: Counts) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            counts.problems.append(else_)
            return
        await asyncio.sleep(TICK_S)


async def _send(
    plan: Plan,
    chance: random.Random,
    producers: list[Producer],
    connections: list[Connection],
    watch: Callable[[float], None],
) -> None:
    weights = [min(chance.paretovariate(2.0), 20.0) / 2 for _ in producers]
    began = time.monotonic()
    tick = 0
    while (now_s := tick * TICK_S) < plan.seconds:
        late_s = time.monotonic() - began - now_s
        await asyncio.sleep(max(0.0, -late_s))
        height = 0.03 + 0.97 * math.sin(math.pi * now_s / plan.wave_s) ** 2
        wanted = height * plan.records_per_s * SLOTS * TICK_S
        for number in range(tick % SLOTS, len(producers), SLOTS):
            if chance.random() * plan.life_s < SLOTS * TICK_S:
                producers[number].leave()
                continue
            records = math.floor(chance.uniform(0, 2 * wanted * weights[number]) + chance.random())
            padding = PADDINGS[chance.randrange(len(PADDINGS))]
            producers[number].turn(records, padding, as_batch=chance.random() < 0.25)
        for connection in connections:
            connection.flush()
        tick += 1
        if not tick % round(1 / TICK_S):
            watch(now_s)
