"""What topics keep, and how long the disk lasts: computed when asked, off every hot path.

The window of a disk is what is free on it divided by what producers hand in a second: how long it
lasts if nothing is deleted meanwhile. Rates are those of `load`, smoothed over minutes; a broker
that has just started knows none yet.

What must not enter: how it is shown, what retention deletes and when (`log.retention`).
"""

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.record_time import record_time_ms
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topic import Partition, Topic

__all__ = ["LOOKUPS_MAX", "KeptPartition", "KeptTopic", "VolumeWindow", "kept", "volume_window"]

LOOKUPS_MAX: Final = 1000
"""Partitions of a topic whose oldest record is looked at; each is a read of one header."""
PARTITIONS_PER_TURN_MAX: Final = 128
"""Partitions looked at before the event loop gets its turn."""


class KeptPartition(NamedTuple):
    partition: int
    start: int
    end: int
    """The high watermark."""
    size_bytes: int
    oldest_ms: int | None
    """The time of the first batch's first record; None if it is empty or not known."""


class KeptTopic(NamedTuple):
    topic: str
    partitions: list[KeptPartition]
    """Those that can be used."""
    bytes_per_s: float | None
    """From producers; None if it is not known yet."""


class VolumeWindow(NamedTuple):
    size_bytes: int
    free_bytes: int
    bytes_per_s: float | None
    """From producers, of all topics together; None if it is not known yet."""

    @property
    def lasts_s(self) -> float | None:
        """None while nothing is written, or it is not known."""
        return self.free_bytes / self.bytes_per_s if self.bytes_per_s else None


async def kept(broker: "Broker", topic: "Topic") -> KeptTopic:
    """What `topic` keeps now."""
    found: list[KeptPartition] = []
    for count, partition in enumerate(list(topic.partitions), start=1):
        if count % PARTITIONS_PER_TURN_MAX == 0:
            await asyncio.sleep(0)
        try:
            found.append(await _look_at(partition, with_time=count <= LOOKUPS_MAX))
        except RequestError:
            continue
    return KeptTopic(topic.name, found, broker.loads.written_bytes_per_s(topic))


async def volume_window(broker: "Broker") -> VolumeWindow:
    """Asks the volume in a thread, since one on a network may take its time."""
    size_bytes = await asyncio.to_thread(broker.store.volume_bytes)
    free_bytes = await asyncio.to_thread(broker.store.free_bytes)
    return VolumeWindow(size_bytes, free_bytes, broker.loads.written_bytes_per_s())


async def _look_at(partition: "Partition", *, with_time: bool) -> KeptPartition:
    """Raises RequestError if the partition is offline."""
    offsets = partition.log.offsets()
    oldest_ms = -1
    if with_time and offsets.start < offsets.high_watermark:
        oldest_ms = await record_time_ms(partition, offsets.start)
    return KeptPartition(
        partition.index,
        offsets.start,
        offsets.high_watermark,
        partition.log.size_bytes(),
        oldest_ms if oldest_ms >= 0 else None,
    )
