"""Batches of transactions on their way to the log: only those that belong to one get there.

The first batch that a transaction writes to a partition is checked with its coordinator. Under the
later protocol (KIP-890) it also adds the partition to the transaction; it waits, copied, until
that is durable, and so does what comes behind it, in order. Every further batch the log itself
knows to be of an open transaction, and nobody is asked.

Where another worker is the coordinator every first batch waits for its answer. If that cannot be
had the batches that wait are refused, to be sent again; until the first of them is, none that
followed it is taken, since a log lets a producer that it does not know begin anywhere.

What must not enter: requests' versions; batches outside of transactions, which never come here.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from headrace.broker.changes import Changes
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import NoPeers
from headrace.broker.topic import Partition
from headrace.broker.transaction_coordinator import TransactionCoordinator
from headrace.broker.transaction_entry import TransactionEntries
from headrace.log.contract import AppendDone
from headrace.transactions.record import ProducerIdentity
from headrace.transactions.requests import Add
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["InTransaction", "TransactionalAppends"]

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of batches that wait for their partition to be added; one more is refused, and sent again."""
REFUSED_MAX: Final = 10_000
"""Producers and partitions of which it is remembered what has to come first. Beyond that the
oldest is forgotten."""

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


_ASK_AGAIN: Final = frozenset(
    {
        ErrorCode.BROKER_NOT_AVAILABLE,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.NOT_COORDINATOR,
    }
)
"""What another worker may answer instead of what was asked."""


class TransactionalAppends:
    def __init__(
        self, coordinator: TransactionCoordinator, entries: TransactionEntries | None = None
    ) -> None:
        """`entries`: how other workers' coordinators are asked, if there are any."""
        self._coordinator = coordinator
        self._entries = entries or TransactionEntries(coordinator, Ownership.alone(0), NoPeers())
        self.kept_elsewhere: set[int] = set()
        """Producers whose transaction another worker keeps; see `TransactionCoordinator.kept`."""
        self._waiting: dict[_Key, _Waiting] = {}
        self._waiting_bytes = 0
        self._refused: dict[_Key, int] = {}
        """The sequence that has to come first, where batches that waited were refused."""
        self._changes = Changes()

    async def close(self) -> None:
        """Until no batch waits any more. The coordinator still answers."""
        await self._changes.wait()

    def ended(self, producer_id: int, topic: str, index: int) -> None:
        """Another worker ends the producer's transaction in this partition now."""
        self._entries.ended(producer_id, (topic, index))
        for key in list(self._refused):
            if (key[0].producer_id, *key[1:]) == (producer_id, topic, index):
                del self._refused[key]

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
        is_kept = (
            producer.producer_id in self._coordinator.kept
            or producer.producer_id in self.kept_elsewhere
        )
        if not is_kept and partition.log.is_in_transaction(*producer):
            partition.log.append(batch, acks, done)
            return
        if transaction is None:
            raise RequestError(
                ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                "a transactional batch without a transactional id",
            )
        if self._entries.is_elsewhere(transaction.transactional_id):
            self._check_first(key, sequence)
            self._begin_to_wait(key, batch, acks, done)
            self._changes.start(self._ask(key, partition, transaction, sequence))
            return
        if self._is_added(key, transaction):
            partition.log.append(batch, acks, done)
            return
        if sequence != 0:  # every transaction has its own epoch, and begins anew in it
            raise RequestError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {producer.producer_id} begins with sequence {sequence} in a partition",
            )
        self._begin_to_wait(key, batch, acks, done)
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

    def _begin_to_wait(
        self, key: _Key, batch: memoryview, acks: int, done: AppendDone | None
    ) -> None:
        waiting = self._waiting[key] = []
        try:
            self._wait(waiting, batch, acks, done)
        except RequestError:
            del self._waiting[key]
            raise

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
        """Of a transaction that is coordinated here."""
        producer, topic, index = key
        refusal: RequestError | None = None
        try:
            request = Add(producer, partitions=frozenset({(topic, index)}))
            await self._coordinator.add(transactional_id, request)
        except RequestError as error:
            refusal = _as_produce_error(error)
        finally:
            waiting = self._waited(key)
        _append_all(partition, waiting, refusal)

    async def _ask(
        self, key: _Key, partition: Partition, transaction: InTransaction, sequence: int
    ) -> None:
        """Of a transaction that another worker coordinates."""
        producer, topic, index = key
        adds = transaction.adds_partitions and sequence == 0
        refusal: RequestError | None = None
        with self._entries.asking(producer.producer_id, (topic, index)) as asking:
            try:
                id_ = transaction.transactional_id
                await self._entries.enter(id_, producer, (topic, index), adds=adds)
            except RequestError as error:
                refusal = _as_remote_error(error, transaction, sequence)
            finally:
                waiting = self._waited(key)
            if refusal is None and asking.is_void:
                refusal = RequestError(
                    ErrorCode.NOT_ENOUGH_REPLICAS, "the transaction was ended meanwhile: ask again"
                )
            if refusal is None:
                self._refused.pop(key, None)
            elif refusal.code is ErrorCode.NOT_ENOUGH_REPLICAS:
                self._remember(key, sequence)
            _append_all(partition, waiting, refusal)

    def _waited(self, key: _Key) -> _Waiting:
        waiting = self._waiting.pop(key)
        self._waiting_bytes -= sum(len(batch) for batch, _, _ in waiting)
        return waiting

    def _check_first(self, key: _Key, sequence: int) -> None:
        """What follows a batch that was refused is refused like it, until that one has come again:
        a client that hears of a gap aborts. Raises RequestError NOT_ENOUGH_REPLICAS."""
        first = self._refused.get(key, sequence)
        if first != sequence:
            raise RequestError(
                ErrorCode.NOT_ENOUGH_REPLICAS,
                f"producer {key[0].producer_id} sent sequence {sequence}, and its sequence {first} "
                "was to be sent again",
            )

    def _remember(self, key: _Key, sequence: int) -> None:
        if key not in self._refused and len(self._refused) >= REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        self._refused[key] = sequence


def _append_all(partition: Partition, waiting: _Waiting, refusal: RequestError | None) -> None:
    for batch, acks, done in waiting:
        tell: Callable[..., object] = done or _nobody
        if refusal is not None:
            tell(refusal)
            continue
        try:
            partition.log.append(memoryview(batch), acks, done)
        except RequestError as error:
            tell(error)


def _as_remote_error(
    error: RequestError, transaction: InTransaction, sequence: int
) -> RequestError:
    """What a client understands, which has not asked the coordinator itself."""
    if error.code in _ASK_AGAIN:
        return RequestError(ErrorCode.NOT_ENOUGH_REPLICAS, error.message)
    if error.code is not ErrorCode.INVALID_TXN_STATE:
        return _as_produce_error(error)
    if not transaction.adds_partitions:
        return RequestError(transaction.not_added, error.message)
    if sequence != 0:  # every transaction has its own epoch, and begins anew in it
        return RequestError(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, error.message)
    return error


def _as_produce_error(error: RequestError) -> RequestError:
    if error.code is ErrorCode.PRODUCER_FENCED:
        return RequestError(ErrorCode.INVALID_PRODUCER_EPOCH, error.message)
    return error


def _nobody(_: object) -> None:
    """With acks=0 nobody hears."""
