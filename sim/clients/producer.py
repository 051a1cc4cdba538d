"""An idempotent producer, as librdkafka is one: several requests under way on one connection,
everything that was not acknowledged sent again, in order, with the sequences it had.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from headrace.testing.hot_messages import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from headrace.testing.raw_client import batch
from headrace.wire.messages.k22_init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from sim.clients.client import Client, Site
from sim.connection import Connection

__all__ = ["Producer"]

THINK_S: Final = 1.0
UNDER_WAY_MAX: Final = 4
"""Batches of a partition that wait for an acknowledgement: max.in.flight.requests is 5."""
RECORDS_MAX: Final = 6


Acknowledged = Callable[[int, int, str, int], None]
"""Told of partition, offset, the producer's name and the number of each record."""


class _Batch(NamedTuple):
    first: int
    values: list[bytes]


class Producer(Client):
    """Writes `name#0`, `name#1`, ... to each partition."""

    def __init__(
        self, site: Site, name: str, topic: str, partitions: int, acknowledged: Acknowledged
    ) -> None:
        super().__init__(site, name)
        self.acknowledged = 0
        self._topic = topic
        self._tell = acknowledged
        self._producer_id = -1
        self._epoch = -1
        self.written = [0] * partitions
        """So many records to each partition."""
        self._unacknowledged: list[deque[_Batch]] = [deque() for _ in range(partitions)]

    def is_done(self) -> bool:
        return self.site.is_ending and not any(self._unacknowledged)

    async def work(self, connection: Connection) -> None:
        if self._producer_id < 0 and not await self._begin(connection):
            return
        while not self.is_done():
            if not self.site.is_ending:
                self._write_more()
            await self._send_all(connection)
            await self.think(THINK_S)

    async def _begin(self, connection: Connection) -> bool:
        answer = await connection.ask(InitProducerIdRequest(None, 60_000), InitProducerIdResponse)
        if self.refused(answer.error_code, "InitProducerId"):
            return False
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch
        return True

    def _write_more(self) -> None:
        for partition, waiting in enumerate(self._unacknowledged):
            for _ in range(self.random.randrange(UNDER_WAY_MAX)):
                if len(waiting) >= UNDER_WAY_MAX:
                    break
                first = self.written[partition]
                until = first + self.random.randint(1, RECORDS_MAX)
                values = [f"{self.name}#{number}".encode() for number in range(first, until)]
                waiting.append(_Batch(first, values))
                self.written[partition] = until

    async def _send_all(self, connection: Connection) -> None:
        """Everything that waits, one batch of each partition in a request."""
        sent = []
        rounds = max(map(len, self._unacknowledged))
        for at in range(rounds):
            batches = {
                partition: waiting[at]
                for partition, waiting in enumerate(self._unacknowledged)
                if at < len(waiting)
            }
            sent.append(connection.send(self._request(batches), ProduceResponse))
        may_be_out_of_order: set[int] = set()
        for future in sent:
            answer = await connection.answer(future)
            for found in answer.responses[0].partition_responses:
                index = found.index
                if self._take(index, found.error_code, found.base_offset, may_be_out_of_order):
                    may_be_out_of_order.add(index)

    def _take(self, partition: int, code: int, base_offset: int, refused: set[int]) -> bool:
        """Whether the oldest batch of the partition has to be sent again."""
        if partition in refused:
            # Those behind one that was refused have no chance, and go again after it.
            if code == 0:
                self.problem(f"{partition}: a batch behind a refused one was taken")
            return True
        if self.refused(code, f"Produce to {partition}"):
            return True
        batch_ = self._unacknowledged[partition].popleft()
        for number, _ in enumerate(batch_.values):
            self._tell(partition, base_offset + number, self.name, batch_.first + number)
        self.acknowledged += len(batch_.values)
        self.note(f"{partition}: {batch_.first} acknowledged at {base_offset}")
        return False

    def _request(self, batches: dict[int, _Batch]) -> ProduceRequest:
        data = [
            PartitionProduceData(
                index=partition,
                records=batch(
                    one.values,
                    producer_id=self._producer_id,
                    producer_epoch=self._epoch,
                    base_sequence=one.first,
                ),
            )
            for partition, one in batches.items()
        ]
        return ProduceRequest(
            acks=-1,
            timeout_ms=30_000,
            topic_data=[TopicProduceData(name=self._topic, partition_data=data)],
        )
