"""What partitions carry: bytes/s from producers, and what a group has left to read.

A partition weighs, for a group,

    bytes/s that producers hand in  +  bytes that the group has not read yet / CATCH_UP_S

which is what its reader must take on to keep up, and to catch up in CATCH_UP_S. The first part is
counted by every append and smoothed over LOOKS_SMOOTHED looks; the second counts from BACKLOG_BYTES
on, since a little is always on its way, and only for partitions that the group has committed in.

What must not enter: who looks and when (`load_watch`), what is made of it (`groups.balanced`).
"""

import asyncio
import contextlib
import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from headrace.broker.topic import Partition, Topic
from headrace.wire.errors import RequestError

__all__ = ["LOOKS_SMOOTHED", "PartitionLoads"]

CATCH_UP_S: Final = 600
"""In this time a backlog should be read, so it counts as if it came in evenly over it."""

BACKLOG_BYTES: Final = 1 << 20
"""Less is no backlog but what lies between two commits."""

LOOKS_SMOOTHED: Final = 4
"""Of what was measured so many looks ago about a third still counts."""

PARTITIONS_PER_TURN_MAX: Final = 2_000
"""Partitions looked at before the event loop gets its turn."""


class _Committed(Protocol):
    @property
    def offset(self) -> int: ...


class _Seen(NamedTuple):
    produced_bytes: int
    bytes_per_s: float


_NEW: Final = _Seen(0, 0.0)


class PartitionLoads:
    """Of all partitions that producers ever wrote to since the start; idle ones cost nothing."""

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._topics = topics
        self._seen: dict[tuple[UUID, int], _Seen] = {}
        self._looks = 0

    @property
    def is_smooth(self) -> bool:
        """Whether there were enough looks to tell load from chance."""
        return self._looks >= LOOKS_SMOOTHED

    def written_bytes_per_s(self, topic: Topic | None = None) -> float | None:
        """What producers hand in, of one topic or of all together; None before the first look.

        The mean of the first looks began at nothing; here it is raised by what that took off.
        """
        if not self._looks:
            return None
        if topic is None:
            rate = sum(seen.bytes_per_s for seen in self._seen.values())
        else:
            rate = sum(self.bytes_per_s(topic.id, part.index) for part in topic.partitions)
        return rate / (1 - math.exp(-self._looks / LOOKS_SMOOTHED))

    async def look(self, elapsed_s: float) -> None:
        """`elapsed_s` since the look before."""
        newest = 1 - math.exp(-1 / LOOKS_SMOOTHED)
        seen: dict[tuple[UUID, int], _Seen] = {}
        count = 0
        for topic in list(self._topics.values()):
            for partition in topic.partitions:
                count += 1
                if count % PARTITIONS_PER_TURN_MAX == 0:
                    await asyncio.sleep(0)
                produced = partition.produced_bytes
                if produced:
                    key = topic.id, partition.index
                    before, rate = self._seen.get(key, _NEW)
                    now = max(produced - before, 0) / max(elapsed_s, 0.001)
                    seen[key] = _Seen(produced, rate + newest * (now - rate))
        self._seen = seen
        self._looks += 1

    def bytes_per_s(self, topic: UUID, partition: int) -> float:
        return self._seen.get((topic, partition), _NEW).bytes_per_s

    def weights(
        self, topics: Iterable[str], committed: Mapping[tuple[str, int], _Committed]
    ) -> dict[tuple[UUID, int], float]:
        """What partitions of these topics weigh for a group that committed so; those that weigh
        nothing are left out."""
        weights = {}
        for name in topics:
            topic = self._topics.get(name)
            for partition in topic.partitions if topic is not None else ():
                found = committed.get((name, partition.index))
                backlog = 0 if found is None else _backlog_bytes(partition, found.offset)
                rate = self.bytes_per_s(partition.topic.id, partition.index)
                weight = rate + backlog / CATCH_UP_S
                if weight:
                    weights[partition.topic.id, partition.index] = weight
        return weights


def _backlog_bytes(partition: Partition, offset: int) -> int:
    with contextlib.suppress(RequestError):  # offline: there is nothing to read
        if offset < partition.log.offsets().high_watermark:
            behind = partition.log.readable_bytes_after(offset)
            return behind if behind >= BACKLOG_BYTES else 0
    return 0
