"""Idempotent producers, and a reader of every partition who follows them."""

from collections.abc import Iterator
from typing import Final

from headrace.testing.history import History, Place, judge
from sim.clients.client import Client, Site
from sim.clients.follower import Follower, sent_in
from sim.clients.producer import Producer
from sim.scenes.scene import Reader, Scene, TopicWanted

__all__ = ["Plain"]

TOPIC: Final = "plain"
PARTITIONS: Final = 3
PRODUCERS: Final = 2


class Plain(Scene):
    """What was acknowledged is there once and in order; what was seen stays."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._history = History()

    def topics(self) -> Iterator[TopicWanted]:
        yield TopicWanted(TOPIC, PARTITIONS, {"segment.bytes": "16384"})

    def clients(self) -> Iterator[Client]:
        for number in range(PRODUCERS):
            yield Producer(self.site, f"p{number}", TOPIC, PARTITIONS, self._history.acked)
        for partition in range(PARTITIONS):
            yield Follower(self.site, f"f{partition}", TOPIC, partition, self._history)

    async def judge(self, reader: Reader) -> list[str]:
        log = [
            (Place(partition, record.offset), sent_in(record))
            for partition in range(PARTITIONS)
            for record in await reader.read_all(TOPIC, partition)
        ]
        return judge(self._history, log)
