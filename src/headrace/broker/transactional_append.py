"""Batches of transactions on their way to the log: only those that belong to one get there.

The first batch that a transaction writes to a partition is checked with its coordinator. Under the
later protocol (KIP-890) it also adds the partition to the transaction; it waits, copied, until
that is durable, and so does what comes behind it, in order. Every further batch the log itself
knows to be of an open transaction, and nobody is asked.

What must not enter: requests' versions; batches outside of transactions, which never come here.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from headrace.broker.changes import Changes
from headrace.broker.topic import Partition
from headrace.broker.transaction_coordinator import TransactionCoordinator
from headrace.log.contract import AppendDone
from headrace.transactions.record import ProducerIdentity
from headrace.transactions.requests import Add
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["InTransaction", "TransactionalAppends"]

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of batches that wait for their partition to be added; one more is refused, and sent again."""

_PRODUCER: Final = struct.Struct(">qhi")
_PRODUCER_AT: Final = 43

_Key = tuple[ProducerIdentity, str, int]
_Waiting = list[tuple[bytearray, int, AppendDone | None]]


class InTransaction(NamedTuple):
    """What a request says of the transaction that its batches belong to."""

    transactional_id: str
    adds_partitions: bool
    """They need not have been announced (KIP-890)."""
    not_added: ErrorCode = ErrorCode.INVALID_TXN_STATE
    """What its client understands of a partition that is not in the transaction."""


class TransactionalAppends:
    def __init__(self, coordinator: TransactionCoordinator) -> None:
        self._coordinator = coordinator
        self._waiting: dict[_Key, _Waiting] = {}
        self._waiting_bytes = 0
        self._changes = Changes()

    async def close(self) -> None:
        """Until no batch waits any more. The coordinator still answers."""
        await self._changes.wait()

    def append(
        self,
        partition: Partition,
        batch: memoryview,
        acks: int,
        done: AppendDone | None,
        transaction: InTransaction | None,
    ) -> None:
        """As `PartitionLog.append`.

        Raises RequestError: also `not_added` for a partition that is not in the transaction,
        INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER,
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED without a transactional id, CONCURRENT_TRANSACTIONS
        when too much waits.
        """
        *who, sequence = _PRODUCER.unpack_from(batch, _PRODUCER_AT)
        producer = ProducerIdentity(*who)
        key = producer, partition.topic.name, partition.index
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._wait(waiting, batch, acks, done)
            return
        is_known = producer.producer_id not in self._coordinator.kept
        if is_known and partition.log.is_in_transaction(*producer):
            partition.log.append(batch, acks, done)
            return
        if transaction is None:
            raise RequestError(
                ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                "a transactional batch without a transactional id",
            )
        if self._is_added(key, transaction):
            partition.log.append(batch, acks, done)
            return
        if sequence != 0:  # every transaction has its own epoch, and begins anew in it
            raise RequestError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {producer.producer_id} begins with sequence {sequence} in a partition",
            )
        waiting = self._waiting[key] = []
        try:
            self._wait(waiting, batch, acks, done)
        except RequestError:
            del self._waiting[key]
            raise
        self._changes.start(self._add(key, partition, transaction.transactional_id))

    def _is_added(self, key: _Key, transaction: InTransaction) -> bool:
        """False for a partition that the batch adds. Raises RequestError as `append`."""
        try:
            self._coordinator.check_write(transaction.transactional_id, key[0], key[1:])
        except RequestError as error:
            if error.code is not ErrorCode.INVALID_TXN_STATE:
                raise
            if not transaction.adds_partitions:
                raise RequestError(transaction.not_added, error.message) from error
            return False
        return True

    def _wait(
        self, waiting: _Waiting, batch: memoryview, acks: int, done: AppendDone | None
    ) -> None:
        if self._waiting_bytes + len(batch) > WAITING_BYTES_MAX:
            raise RequestError(
                ErrorCode.CONCURRENT_TRANSACTIONS,
                "too many batches wait for their partition to be added to a transaction",
            )
        self._waiting_bytes += len(batch)
        waiting.append((bytearray(batch), acks, done))

    async def _add(self, key: _Key, partition: Partition, transactional_id: str) -> None:
        producer, topic, index = key
        refusal: RequestError | None = None
        try:
            request = Add(producer, partitions=frozenset({(topic, index)}))
            await self._coordinator.add(transactional_id, request)
        except RequestError as error:
            refusal = _as_produce_error(error)
        finally:
            waiting = self._waiting.pop(key)
            self._waiting_bytes -= sum(len(batch) for batch, _, _ in waiting)
        for batch, acks, done in waiting:
            tell: Callable[..., object] = done or _nobody
            if refusal is not None:
                tell(refusal)
                continue
            try:
                partition.log.append(memoryview(batch), acks, done)
            except RequestError as error:
                tell(error)


def _as_produce_error(error: RequestError) -> RequestError:
    if error.code is ErrorCode.PRODUCER_FENCED:
        return RequestError(ErrorCode.INVALID_PRODUCER_EPOCH, error.message)
    return error


def _nobody(_: object) -> None:
    """With acks=0 nobody hears."""
