"""What a scene is, and how it looks at what is left at the end.

What must not enter: anything about one scene.
"""

from collections.abc import Iterable
from typing import NamedTuple

from headrace.wire.records import Record
from sim.clients.client import Client, Site
from sim.clients.follower import fetch
from sim.connection import Connection
from sim.records import next_offset, visible_records

__all__ = ["Reader", "Scene", "TopicWanted"]


class TopicWanted(NamedTuple):
    name: str
    partitions: int
    configs: dict[str, str]


class Reader:
    """Reads what is there when all is quiet."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def read_all(
        self, topic: str, partition: int, *, committed: bool = False
    ) -> list[Record]:
        """Every record of a partition, in the order of offsets. Raises Disconnected, and
        RuntimeError for what cannot be read."""
        records: list[Record] = []
        offset = 0
        while True:
            data = await fetch(self.connection, topic, partition, offset, committed=committed)
            if data.error_code:
                raise RuntimeError(f"{topic}-{partition} at {offset}: error {data.error_code}")
            if not data.records:
                return records
            records += visible_records(data.records, offset, data.aborted_transactions)
            offset = next_offset(data.records)


class Scene:
    """One of each a run."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def topics(self) -> Iterable[TopicWanted]:
        """What is made before the clients begin."""
        return ()

    def clients(self) -> Iterable[Client]:
        """Made once."""
        raise NotImplementedError

    async def judge(self, reader: Reader) -> list[str]:
        """What is wrong in the end, in words."""
        raise NotImplementedError
