"""Partitions as streams see them: who is bound to one, and what it carries, measured now and then.

A lane's load is smoothed over LOAD_SMOOTHED_S, and counts everything that is written to the
partition, by Kafka producers too. What must not enter: what follows from a load (`router`).
"""

import math
from collections import deque
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
        "_opened_s",
        "_seen_bytes",
        "bytes_per_s",
        "in_flight_bytes",
        "partition",
        "streams",
    )

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.streams: dict[str, IngestStream] = {}
        self.in_flight_bytes = 0
        """Of its streams, appended and not yet durable."""
        self.bytes_per_s = 0.0
        self._seen_bytes = partition.produced_bytes
        self._opened_s: deque[float] = deque()
        """When the streams came that are too young to show in the load."""

    def bind(self, stream: "IngestStream", now_s: float) -> None:
        self.streams[stream.id] = stream
        self._opened_s.append(now_s)

    def look(self, elapsed_s: float) -> None:
        """Measure again, `elapsed_s` after the look before."""
        written = self.partition.produced_bytes
        rate = (written - self._seen_bytes) / max(elapsed_s, 0.001)
        self._seen_bytes = written
        self.bytes_per_s += (1 - math.exp(-elapsed_s / LOAD_SMOOTHED_S)) * (rate - self.bytes_per_s)

    def load(self, now_s: float) -> LaneLoad:
        while self._opened_s and now_s - self._opened_s[0] > LOAD_SMOOTHED_S:
            self._opened_s.popleft()
        streams = len(self.streams)
        young = min(len(self._opened_s), streams)
        return LaneLoad(
            self.partition.index, self.bytes_per_s, self.in_flight_bytes, streams, young
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
            self._lanes += [Lane(partition) for partition in partitions[len(self._lanes) :]]
        return self._lanes

    def active(self) -> list[Lane]:
        """Those that new streams may go to: all of a topic that is not elastic, or not any more."""
        if self.topic.config.elastic is None:
            return self.all()
        return [lane for lane in self.all() if lane.partition.index not in self.retired]

    def look(self, elapsed_s: float) -> None:
        for lane in self.all():
            lane.look(elapsed_s)
