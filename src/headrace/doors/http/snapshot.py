"""Where every partition and group is at the time of a scrape, taken in turns of the loop.

What must not enter: names of metrics.
"""

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.group_lag import GroupLag
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["PartitionSeen", "Snapshot", "take_snapshot"]

PARTITIONS_PER_TURN_MAX: Final = 500
"""Partitions looked at before the event loop gets its turn."""


class PartitionSeen(NamedTuple):
    topic: str
    partition: int
    start: int
    last_stable: int
    high_watermark: int
    end: int
    size_bytes: int


class Snapshot(NamedTuple):
    partitions: list[PartitionSeen]
    """Those that can be used."""
    offline: int
    lags: list[GroupLag]
    volume_bytes: int
    free_bytes: int


async def take_snapshot(broker: "Broker") -> Snapshot:
    """Asks the volume in a thread, since one on a network may take its time."""
    lags = await broker.lags.measure()
    volume_bytes = await asyncio.to_thread(broker.store.volume_bytes)
    free_bytes = await asyncio.to_thread(broker.store.free_bytes)
    partitions: list[PartitionSeen] = []
    offline = looked_at = 0
    for topic in list(broker.topics.by_name.values()):
        for partition in list(topic.partitions):
            if not partition.is_mine:
                continue
            looked_at += 1
            if looked_at % PARTITIONS_PER_TURN_MAX == 0:
                await asyncio.sleep(0)
            try:
                offsets = partition.log.offsets()
            except RequestError:
                offline += 1
                continue
            partitions.append(
                PartitionSeen(
                    topic.name,
                    partition.index,
                    offsets.start,
                    offsets.last_stable,
                    offsets.high_watermark,
                    offsets.end,
                    partition.log.size_bytes(),
                )
            )
    return Snapshot(partitions, offline, lags, volume_bytes, free_bytes)
