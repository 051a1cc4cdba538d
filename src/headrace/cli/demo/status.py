"""What the demo knows while it runs, put together from what the processes say. Pure, no clock.

`take` is the one way in; the job decides by it, the display shows it, the report is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.cli.demo.board import Tally
from headrace.cli.demo.coverage import Coverage

__all__ = ["ConsumerStatus", "ProducerStatus", "Status"]


@dataclass(slots=True)
class ProducerStatus:
    """One airport's producer."""

    events: int = 0
    sent: int = 0
    acked: int = 0
    done: bool = False
    failed: int = 0
    failure: str = ""
    first_s: float = 0.0
    last_s: float = 0.0


@dataclass(slots=True)
class ConsumerStatus:
    """One member of the group."""

    alive: bool = True
    partitions: list[int] = field(default_factory=list)
    carriers: dict[str, Tally] = field(default_factory=dict)


class Status:
    """The state of a run; `partitions` of the topic, names of the producers and consumers."""

    def __init__(self, producers: list[str], consumers: list[str], partitions: int) -> None:
        self.producers = {name: ProducerStatus() for name in producers}
        self.consumers = {name: ConsumerStatus() for name in consumers}
        self.ends = [0] * partitions
        self.committed = [0] * partitions
        self.processed = [Coverage() for _ in range(partitions)]
        self.samples: list[tuple[float, float]] = []
        self.killed_s: float | None = None
        """When SIGKILL was sent to the broker."""
        self.dead_s: float | None = None
        """When it was gone: what is sent from here on, only the new broker can acknowledge."""
        self.recovered_s: float | None = None
        self.verified = 0

    @property
    def total(self) -> int:
        return sum(producer.events for producer in self.producers.values())

    @property
    def sent(self) -> int:
        return sum(producer.sent for producer in self.producers.values())

    @property
    def acked(self) -> int:
        return sum(producer.acked for producer in self.producers.values())

    @property
    def covered(self) -> int:
        """How many different records the group has processed."""
        return sum(coverage.covered for coverage in self.processed)

    @property
    def redelivered(self) -> int:
        """How often the group has processed a record again."""
        return sum(coverage.redelivered for coverage in self.processed)

    @property
    def all_sent(self) -> bool:
        return all(producer.done for producer in self.producers.values())

    @property
    def all_committed(self) -> bool:
        """The group has processed and committed everything that is acknowledged."""
        return all(done >= end for done, end in zip(self.committed, self.ends, strict=True))

    @property
    def all_owned(self) -> bool:
        """Every partition has an owner among the living."""
        owned = {p for member in self.consumers.values() for p in member.partitions}
        return len(owned) == len(self.ends)

    def lag(self, consumer: str) -> int:
        """Records that the consumer has still to process in its partitions."""
        mine = self.consumers[consumer].partitions
        return sum(max(0, self.ends[p] - self.processed[p].end) for p in mine)

    def uncommitted(self, consumer: str) -> int:
        """Records that the consumer has processed and would do again if it died now."""
        mine = self.consumers[consumer].partitions
        return sum(max(0, self.processed[p].end - self.committed[p]) for p in mine)

    def carriers(self) -> dict[str, Tally]:
        """The delay board as the consumers know it between them."""
        whole: dict[str, Tally] = {}
        for member in self.consumers.values():
            for carrier, tally in member.carriers.items():
                known = whole.get(carrier, [0] * len(tally))
                whole[carrier] = [a + b for a, b in zip(known, tally, strict=True)]
        return whole

    def bury(self, consumer: str) -> None:
        """The consumer was killed; what it owned is nobody's until the group notices."""
        self.consumers[consumer] = ConsumerStatus(alive=False)

    def take(self, name: str, message: dict[str, Any]) -> None:
        """Learn from what process `name` says."""
        if name in self.producers:
            self._take_producer(self.producers[name], message)
        elif name in self.consumers:
            self._take_consumer(self.consumers[name], message)
        elif message["type"] == "samples":
            self._take_samples(message["samples"])
        elif message["type"] == "progress":
            self.verified = message["verified"]

    def _take_producer(self, producer: ProducerStatus, message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            producer.events = message["events"]
        elif message["type"] == "progress":
            producer.sent, producer.acked = message["sent"], message["acked"]
            self.ends = [max(*pair) for pair in zip(self.ends, message["ends"], strict=True)]
        elif message["type"] == "done":
            producer.done = True
            producer.failed, producer.failure = message["failed"], message["failure"]
            producer.first_s, producer.last_s = message["first_s"], message["last_s"]

    def _take_consumer(self, consumer: ConsumerStatus, message: dict[str, Any]) -> None:
        if message["type"] == "assigned":
            consumer.partitions = message["partitions"]
        elif message["type"] == "batch":
            for partition, start, end in message["ranges"]:
                self.processed[partition].add(start, end)
        elif message["type"] == "committed":
            for partition, offset in message["offsets"]:
                self.committed[partition] = max(self.committed[partition], offset)
        elif message["type"] == "board":
            consumer.carriers = message["carriers"]

    def _take_samples(self, samples: list[tuple[float, float]]) -> None:
        self.samples.extend((sent_s, acked_s) for sent_s, acked_s in samples)
        if self.dead_s is None or self.recovered_s is not None:
            return
        after = [acked_s for sent_s, acked_s in samples if sent_s >= self.dead_s]
        if after:
            self.recovered_s = min(after)
