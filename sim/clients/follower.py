"""A reader of one partition that follows its end and writes down what it saw."""

from typing import Final

from headrace.testing.history import History, Sent
from headrace.testing.hot_messages import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from headrace.wire.records import Record
from sim.clients.client import Client, Site
from sim.connection import Connection
from sim.records import next_offset, visible_records

__all__ = ["Follower", "fetch", "sent_in"]

THINK_S: Final = 0.5
WAIT_MS: Final = 5000


def sent_in(record: Record) -> Sent:
    """Whose record it is, and which."""
    name, _, number = (record.value or b"").decode().rpartition("#")
    return Sent(name, int(number))


async def fetch(
    connection: Connection,
    topic: str,
    partition: int,
    offset: int,
    *,
    wait_ms: int = 0,
    committed: bool = False,
) -> PartitionData:
    """One partition from `offset` on. Raises Disconnected."""
    wants = FetchPartition(partition=partition, fetch_offset=offset)
    request = FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=1,
        isolation_level=int(committed),
        topics=[FetchTopic(topic=topic, partitions=[wants])],
    )
    answer = await connection.ask(request, FetchResponse)
    return answer.responses[0].partitions[0]


class Follower(Client):
    """Reads on from where it was, whatever becomes of its connections."""

    def __init__(
        self,
        site: Site,
        name: str,
        topic: str,
        partition: int,
        history: History,
        *,
        committed: bool = False,
    ) -> None:
        super().__init__(site, name)
        self._committed = committed
        self._topic = topic
        self._partition = partition
        self._history = history
        self._offset = 0
        self._high_watermark = 0

    async def work(self, connection: Connection) -> None:
        where = self._topic, self._partition
        while not self.is_done():
            data = await self._fetch(connection)
            if self.refused(data.error_code, f"Fetch of {where} at {self._offset}"):
                await self.think(THINK_S)
                continue
            if data.high_watermark < self._high_watermark:
                self.problem(
                    f"{where}: the high watermark went back from {self._high_watermark} to "
                    f"{data.high_watermark}"
                )
            self._high_watermark = data.high_watermark
            if data.records:
                self._read(data)
            await self.think(THINK_S)

    async def _fetch(self, connection: Connection) -> PartitionData:
        where = self._topic, self._partition, self._offset
        return await fetch(connection, *where, wait_ms=WAIT_MS, committed=self._committed)

    def _read(self, data: PartitionData) -> None:
        records = data.records or b""
        for record in visible_records(records, self._offset, data.aborted_transactions):
            if record.offset != self._offset and not self._committed:
                self.problem(f"{self._topic}: {record.offset} came where {self._offset} was due")
            self._history.saw(self._partition, record.offset, *sent_in(record))
            self._offset = record.offset + 1
        self._offset = next_offset(records)
        self.note(f"read up to {self._offset}")
