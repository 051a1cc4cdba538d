"""Partitions as streams see them: who is bound to one, and what it carries, measured now and then.

A lane's load is smoothed over LOAD_SMOOTHED_S, and counts everything that is written to the
partition, by Kafka producers too. What must not enter: what follows from a load (`router`).
"""

import math
import time
from typing import TYPE_CHECKING, Final

from headrace.broker.streams.router import LaneLoad
from headrace.broker.topic import Partition, Topic

if TYPE_CHECKING:
    from headrace.broker.streams.stream import IngestStream

__all__ = ["LOAD_SMOOTHED_S", "Lane", "Lanes"]

LOAD_SMOOTHED_S: Final = 2.0
"""Of what was measured so long ago about a third still counts."""


class Lane:
    """One partition; made when the first stream of its topic is opened."""

    __slots__ = (
        "_fresh",
        "_looked_s",
        "_seen_bytes",
        "_unseen",
        "bytes_per_s",
        "in_flight_bytes",
        "partition",
        "streams",
    )

    def __init__(self, partition: Partition, now_s: float) -> None:
        self.partition = partition
        self.streams: dict[str, IngestStream] = {}
        self.in_flight_bytes = 0
        """Of its streams, appended and not yet durable."""
        self.bytes_per_s = 0.0
        self._seen_bytes = partition.produced_bytes
        self._looked_s = now_s
        self._unseen = 0.0
        self._fresh: list[float] = []
        """When those came that were bound since the last look."""

    def bind(self, stream: "IngestStream", now_s: float) -> None:
        self.streams[stream.id] = stream
        self._fresh.append(now_s)

    def look(self, now_s: float) -> None:
        """Measure again what was written since the look before. Of a stream that was bound in
        between the new rate shows the share of the time for which it was there."""
        elapsed_s = max(now_s - self._looked_s, 0.001)
        newest = 1 - math.exp(-elapsed_s / LOAD_SMOOTHED_S)
        written = self.partition.produced_bytes
        rate = max(written - self._seen_bytes, 0) / elapsed_s  # another's begins at 0 again
        self.bytes_per_s += newest * (rate - self.bytes_per_s)
        self._unseen *= 1 - newest
        self._unseen += sum(1 - newest * min((now_s - at) / elapsed_s, 1.0) for at in self._fresh)
        self._fresh.clear()
        self._seen_bytes = written
        self._looked_s = now_s

    def load(self) -> LaneLoad:
        streams = len(self.streams)
        unseen = min(self._unseen + len(self._fresh), streams)
        return LaneLoad(
            self.partition.index, self.bytes_per_s, self.in_flight_bytes, streams, unseen
        )


class Lanes:
    """One topic: all its lanes, and which of them get no new streams."""

    def __init__(self, topic: Topic, retired: set[int]) -> None:
        self.topic = topic
        self.retired = retired
        self._lanes: list[Lane] = []

    def all(self) -> list[Lane]:
        """By partition number; the topic may have grown."""
        partitions = self.topic.partitions
        if len(partitions) > len(self._lanes):
            now_s = time.monotonic()
            self._lanes += [Lane(part, now_s) for part in partitions[len(self._lanes) :]]
        return self._lanes

    def active(self) -> list[Lane]:
        """Those that new streams may go to: all of a topic that is not elastic, or not any more."""
        if self.topic.config.elastic is None:
            return self.all()
        return [lane for lane in self.all() if lane.partition.index not in self.retired]

    def look(self, now_s: float) -> None:
        for lane in self.all():
            lane.look(now_s)
