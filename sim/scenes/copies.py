"""A topic that is copied in transactions, each of which carries the offsets of what it copied."""

import asyncio
from collections.abc import Iterator
from typing import Final

from headrace.testing.history import History, Place, judge
from headrace.wire.messages.k66_list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
)
from sim.clients.client import Client, Site
from sim.clients.copier import Copier, Copying
from sim.clients.follower import Follower, fetch, sent_in
from sim.clients.offsets import committed_offsets
from sim.clients.producer import Producer
from sim.scenes.scene import Reader, Scene, TopicWanted

__all__ = ["Copies"]

SOURCE: Final = "orders"
TARGET: Final = "copies"
GROUP: Final = "copiers"
PARTITIONS: Final = 2
END_S_MAX: Final = 120
"""In the end every transaction is over within so long: its timeout, and what asks for that."""


class Copies(Scene):
    """Every record is copied once and in order; nothing else is seen by readers of committed
    records, and no transaction stays open."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._written = History()
        self._seen = History()

    def topics(self) -> Iterator[TopicWanted]:
        yield TopicWanted(SOURCE, PARTITIONS, {"segment.bytes": "32768"})
        yield TopicWanted(TARGET, PARTITIONS, {"segment.bytes": "16384"})

    def clients(self) -> Iterator[Client]:
        producer = Producer(self.site, "orders", SOURCE, PARTITIONS, self._written.acked)
        copying = Copying(SOURCE, TARGET, GROUP, producer)
        yield producer
        random = self.site.world.random("copies")
        for partition in range(PARTITIONS):
            for rival in "ab":
                name = f"k{partition}{rival}"
                yield Copier(self.site, name, copying, partition, is_new=random.random() < 0.5)
            yield Follower(
                self.site, f"r{partition}", TARGET, partition, self._seen, committed=True
            )

    async def judge(self, reader: Reader) -> list[str]:
        problems = await self._open_transactions(reader)
        source = {p: await reader.read_all(SOURCE, p) for p in range(PARTITIONS)}
        target = {p: await reader.read_all(TARGET, p, committed=True) for p in range(PARTITIONS)}
        for history, log in ((self._written, source), (self._seen, target)):
            places = [(Place(p, r.offset), sent_in(r)) for p, them in log.items() for r in them]
            problems += judge(history, places)
        _, committed = await committed_offsets(
            reader.connection, GROUP, SOURCE, list(range(PARTITIONS))
        )
        for partition, records in source.items():
            copied = [record.value for record in target[partition]]
            if copied != [record.value for record in records]:
                problems.append(f"{len(records)} records, {len(copied)} copies in {partition}")
            if committed[partition] != len(records):
                problems.append(f"{partition}: {committed[partition]} of {len(records)} committed")
        return problems

    async def _open_transactions(self, reader: Reader) -> list[str]:
        """Those that stay open longer than they may."""
        still: list[str] = []
        for _ in range(END_S_MAX):
            answer = await reader.connection.ask(
                ListTransactionsRequest(["Ongoing", "PrepareCommit", "PrepareAbort"]),
                ListTransactionsResponse,
            )
            still = [f"{one.transactional_id} is open" for one in answer.transaction_states]
            for partition in range(PARTITIONS):
                data = await fetch(reader.connection, TARGET, partition, 0, committed=True)
                if data.last_stable_offset != data.high_watermark:
                    still.append(f"{TARGET}-{partition} is not stable: {data.last_stable_offset}")
            if not still:
                break
            await asyncio.sleep(1)
        return still
