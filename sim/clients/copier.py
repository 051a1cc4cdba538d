"""Consume, process, produce, exactly once: copies a partition in transactions that carry the
offsets of what they have copied.

It speaks the old protocol of transactions or KIP-890's, as it is told. It loses its nerve now and
then and aborts, or forgets its transaction and begins anew; and it has a rival of the same
transactional id, so that each is a zombie when the other is at work.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from headrace.testing.hot_messages import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from headrace.testing.raw_client import batch
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k22_init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from headrace.wire.messages.k24_add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
)
from headrace.wire.messages.k25_add_offsets_to_txn import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
)
from headrace.wire.messages.k26_end_txn import EndTxnRequest, EndTxnResponse
from headrace.wire.messages.k28_txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)
from headrace.wire.records import Record
from sim.clients.client import Client, Site
from sim.clients.follower import fetch
from sim.clients.offsets import committed_offsets
from sim.clients.producer import Producer
from sim.connection import Connection
from sim.records import next_offset, visible_records

__all__ = ["Copier", "Copying"]

TIMEOUT_MS: Final = 20_000
"""Of a transaction."""
THINK_S: Final = 2.0
RETIRED_S: Final = 40.0
"""How long who was fenced leaves the field to its rival."""
RECORDS_MAX: Final = 20
ABORT_ONE_IN: Final = 8
FORGET_ONE_IN: Final = 20

FENCED: Final = frozenset(
    {
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.PRODUCER_FENCED,
        ErrorCode.INVALID_TXN_STATE,
        ErrorCode.INVALID_PRODUCER_ID_MAPPING,
    }
)
"""Somebody else has the transactional id now, or the transaction was ended by its timeout."""
SOON: Final = frozenset({ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.UNSTABLE_OFFSET_COMMIT})
"""Something is still being ended."""


@dataclass
class Copying:
    """One copy of a topic, and how far it has come."""

    source: str
    target: str
    group: str
    producer: Producer
    copied: dict[int, int] = field(default_factory=dict)
    """By partition: the offset that is known to be committed."""

    def is_done(self, partition: int) -> bool:
        return (
            self.producer.is_done()
            and self.copied.get(partition, 0) >= self.producer.written[partition]
        )


class _Over(Exception):
    """The copier's producer is good for nothing any more: begin anew."""


class Copier(Client):
    """Copies one partition."""

    def __init__(
        self, site: Site, name: str, copying: Copying, partition: int, *, is_new: bool
    ) -> None:
        super().__init__(site, name)
        self._copying = copying
        self._partition = partition
        self._is_new = is_new
        """Speaks KIP-890."""
        self._transactional_id = f"copy-{copying.target}-{partition}"
        self._producer = -1, -1
        self._sequence = 0
        self._offset = 0

    def is_done(self) -> bool:
        return self.site.is_ending and self._copying.is_done(self._partition)

    async def work(self, connection: Connection) -> None:
        try:
            await self._begin(connection)
            while not self.is_done():
                if not await self._copy_some(connection):
                    await self.think(THINK_S)
        except _Over as why:
            self.note(f"begins anew: {why}")
            await self.think(RETIRED_S)

    def _check(self, code: int, what: str) -> None:
        """Raises _Over for an error."""
        if code in FENCED or code in SOON:
            self.operations += 1
            raise _Over(f"{what}: {ErrorCode(code).name}")
        if self.refused(code, what):
            raise _Over(what)

    async def _begin(self, connection: Connection) -> None:
        """Fence whoever was here, and go on where that one had come to."""
        while True:
            request = InitProducerIdRequest(self._transactional_id, TIMEOUT_MS)
            answer = await connection.ask(request, InitProducerIdResponse, 5)
            if answer.error_code not in SOON:
                break
            await self.think(THINK_S)
        self._check(answer.error_code, "InitProducerId")
        self._producer = answer.producer_id, answer.producer_epoch
        self._sequence = 0
        known = self._copying.copied.get(self._partition, 0)  # its rival may commit meanwhile
        where = self._copying.group, self._copying.source, [self._partition]
        while True:
            code, offsets = await committed_offsets(connection, *where)
            if code not in SOON:
                break
            await self.think(THINK_S)
        self._check(code, "OffsetFetch")
        self._offset = offsets.get(self._partition, 0)
        if self._offset < known:
            self.problem(f"committed {self._offset} after {known}")
        self._is_committed(self._offset)

    def _is_committed(self, offset: int) -> None:
        before = self._copying.copied.get(self._partition, 0)
        self._copying.copied[self._partition] = max(before, offset)

    async def _copy_some(self, connection: Connection) -> bool:
        """One transaction, if there is anything to copy."""
        where = self._copying.source, self._partition, self._offset
        data = await fetch(connection, *where, committed=True)
        self._check(data.error_code, "Fetch")
        if not data.records:
            return False
        records = visible_records(data.records, self._offset)[:RECORDS_MAX]
        end = records[-1].offset + 1 if records else next_offset(data.records)
        await self._write(connection, records, end)
        chance = self.random.randrange(FORGET_ONE_IN)
        if chance == 0 and not self.site.is_ending:
            raise _Over("it forgot what it did")
        commit = self.site.is_ending or self.random.randrange(ABORT_ONE_IN) > 0
        await self._end(connection, commit=commit)
        if commit:
            self._offset = end
            self._is_committed(end)
            self.note(f"copied up to {end}")
        return True

    async def _write(self, connection: Connection, records: list[Record], end: int) -> None:
        copying = self._copying
        producer_id, epoch = self._producer
        if not self._is_new:
            topic = AddPartitionsToTxnTopic(copying.target, [self._partition])
            added = await connection.ask(
                AddPartitionsToTxnRequest(
                    v3_and_below_transactional_id=self._transactional_id,
                    v3_and_below_producer_id=producer_id,
                    v3_and_below_producer_epoch=epoch,
                    v3_and_below_topics=[topic],
                ),
                AddPartitionsToTxnResponse,
                3,
            )
            [result] = added.results_by_topic_v3_and_below[0].results_by_partition
            self._check(result.partition_error_code, "AddPartitionsToTxn")
        written = await connection.ask(
            self._produce(records), ProduceResponse, 12 if self._is_new else 11
        )
        [produced] = written.responses[0].partition_responses
        self._check(produced.error_code, "Produce")
        self._sequence += len(records)
        await self._commit_offset(connection, end)

    def _produce(self, records: list[Record]) -> ProduceRequest:
        values = [record.value or b"" for record in records]
        producer_id, epoch = self._producer
        data = batch(
            values,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=self._sequence,
            transactional=True,
        )
        partition = PartitionProduceData(index=self._partition, records=data)
        topic = TopicProduceData(name=self._copying.target, partition_data=[partition])
        return ProduceRequest(
            transactional_id=self._transactional_id, acks=-1, timeout_ms=30_000, topic_data=[topic]
        )

    async def _commit_offset(self, connection: Connection, end: int) -> None:
        group, producer = self._copying.group, self._producer
        if not self._is_new:
            begun = AddOffsetsToTxnRequest(self._transactional_id, *producer, group)
            added = await connection.ask(begun, AddOffsetsToTxnResponse, 3)
            self._check(added.error_code, "AddOffsetsToTxn")
        offset = TxnOffsetCommitRequestPartition(self._partition, end, committed_metadata=None)
        answer = await connection.ask(
            TxnOffsetCommitRequest(
                transactional_id=self._transactional_id,
                group_id=group,
                producer_id=producer[0],
                producer_epoch=producer[1],
                topics=[TxnOffsetCommitRequestTopic(self._copying.source, [offset])],
            ),
            TxnOffsetCommitResponse,
            5 if self._is_new else 4,
        )
        self._check(answer.topics[0].partitions[0].error_code, "TxnOffsetCommit")

    async def _end(self, connection: Connection, *, commit: bool) -> None:
        while True:
            request = EndTxnRequest(self._transactional_id, *self._producer, commit)
            answer = await connection.ask(request, EndTxnResponse, 5 if self._is_new else 4)
            if answer.error_code not in SOON:
                break
            await asyncio.sleep(0.1)
        self._check(answer.error_code, "EndTxn")
        if self._is_new:
            before, self._producer = self._producer, (answer.producer_id, answer.producer_epoch)
            if self._producer != before:
                self._sequence = 0
