"""What idempotent producers have written to one partition: retries, gaps and stale epochs.

Pure: no clock, no disk. A producer is its id; for each the table keeps the epoch and its last
WINDOW batches, which is as many as a client keeps in flight, so every retry a client can send is
recognised (KIP-98). Sequences count records, wrap from 2^31 - 1 to 0, and restart at 0 with a new
epoch. `check` decides and changes nothing; `record` is called once the batch is written. The same
holds for transaction markers, which have no sequence, and `check_marker` and `end`; a marker of a
newer epoch fences the older one (KIP-890). Which transactions are open is in `transactions`.

In a checkpoint (`encode`, `decode`; little-endian):

    producers u32, then each: id i64, epoch i16, batches u8, last seen i64 (ms),
        coordinator epoch i32 (since checkpoint version 2),
        then each batch: first sequence i32, last sequence i32, base offset i64,
        last offset i64, append time i64 (ms, -1 unless the topic stamps it)
"""

import heapq
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from headrace.log.contract import LastBatch, ProducerSnapshot
from headrace.log.transactions import Transactions
from headrace.wire.batch import (
    ATTRIBUTE_CONTROL,
    ATTRIBUTE_LOG_APPEND_TIME,
    ATTRIBUTE_TRANSACTIONAL,
    BatchHeader,
)
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker

__all__ = ["EXPIRY_MS", "PRODUCERS_MAX", "REFUSED_MAX", "WINDOW", "ProducerTable", "WrittenBatch"]

WINDOW: Final = 5
"""Batches remembered a producer: `max.in.flight.requests.per.connection` of idempotent clients."""
PRODUCERS_MAX: Final = 10_000
"""Producers remembered a partition; beyond it those idle longest are forgotten first."""
EXPIRY_MS: Final = 24 * 3600 * 1000
"""A producer idle for so long is forgotten (Kafka: producer.id.expiration.ms)."""
GRACE_MS: Final = 3600 * 1000
"""How long after a start no producer is forgotten, whatever the clock said before it."""
REFUSED_MAX: Final = 1_000
"""Producers of which it is remembered what the disk refused; beyond it the oldest is forgotten."""

_FORGOTTEN_AT_ONCE: Final = PRODUCERS_MAX // 16
_SEQUENCE_MASK: Final = 0x7FFF_FFFF
_COUNT: Final = struct.Struct("<I")
_PRODUCER_V1: Final = struct.Struct("<qhBq")
_PRODUCER: Final = struct.Struct("<qhBqi")
_BATCH: Final = struct.Struct("<iiqqq")


class WrittenBatch(NamedTuple):
    """One batch of the window. The append time is -1 unless the topic stamps it."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    log_append_time_ms: int


class _Producer:
    __slots__ = ("batches", "coordinator_epoch", "epoch", "last_seen_ms", "next_sequence")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.coordinator_epoch = -1
        """Of the last marker; -1 before the first."""
        self.next_sequence = 0
        self.last_seen_ms = 0
        self.batches: list[WrittenBatch] = []
        """The last WINDOW. No deque: an empty one takes 700 bytes, and producers are many."""

    def wrote(self, batch: WrittenBatch) -> None:
        if len(self.batches) == WINDOW:
            del self.batches[0]
        self.batches.append(batch)


class ProducerTable:
    """The producers of one partition. Times are wall clock, ms."""

    __slots__ = ("_producers", "_refused", "transactions")

    def __init__(self) -> None:
        self._producers: dict[int, _Producer] = {}
        self._refused: dict[int, tuple[int, int]] = {}
        """Epoch and sequence of the batch that has to come first: it could not be written."""
        self.transactions = Transactions()

    def __len__(self) -> int:
        return len(self._producers)

    def check(self, header: BatchHeader) -> WrittenBatch | None:
        """None when the batch may be appended; the first write of it when it is a retry.

        A producer that is not known may start anywhere: its state may have expired here. What
        follows a batch that the disk refused is refused like it (KAFKA_STORAGE_ERROR) until that
        one has come again: clients that hear of a gap begin a new epoch, in which they may write
        twice what other partitions have of them and they were not told of.

        Raises RequestError: INVALID_PRODUCER_EPOCH below the epoch seen last,
        OUT_OF_ORDER_SEQUENCE_NUMBER for anything but the next sequence or a retry,
        INVALID_TXN_STATE for what does not belong to the producer's open transaction.
        """
        producer = self._producers.get(header.producer_id)
        if producer is None:
            self._check_not_refused(header)
            return None
        if self.transactions.is_open(header.producer_id):
            _check_in_transaction(header, producer.epoch)
        sequence = header.base_sequence
        if header.producer_epoch == producer.epoch:
            if sequence == producer.next_sequence:
                return None
            last = (sequence + header.last_offset_delta) & _SEQUENCE_MASK
            for batch in self._may_come_again(header, producer):
                if batch.first_sequence == sequence and batch.last_sequence == last:
                    return batch
            expected = producer.next_sequence
        elif header.producer_epoch < producer.epoch:
            raise RequestError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} sent epoch {header.producer_epoch}, "
                f"epoch {producer.epoch} was seen already",
            )
        elif sequence == 0:
            return None
        else:
            expected = 0
        self._check_not_refused(header)
        raise RequestError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {header.producer_id} sent sequence {sequence}, expected {expected}",
        )

    def refused(self, header: BatchHeader) -> None:
        """The disk did not take this batch, though it was in order."""
        if header.producer_id not in self._refused and len(self._refused) >= REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        self._refused[header.producer_id] = (header.producer_epoch, header.base_sequence)

    def _check_not_refused(self, header: BatchHeader) -> None:
        epoch, sequence = self._refused.get(header.producer_id, (-1, 0))
        if header.producer_epoch == epoch and header.base_sequence != sequence:
            raise RequestError(
                ErrorCode.KAFKA_STORAGE_ERROR,
                f"producer {header.producer_id} sent sequence {header.base_sequence}, and its "
                f"sequence {sequence} could not be written",
            )

    def _may_come_again(self, header: BatchHeader, producer: _Producer) -> list[WrittenBatch]:
        """The batches that `header` may be a retry of. A transaction's are its own only: nobody
        sends again what belongs to one that has ended, but a client that aborted may have given
        the sequences of what it thinks was never written to other records (librdkafka does)."""
        if not header.attributes & ATTRIBUTE_TRANSACTIONAL:
            return producer.batches
        first = self.transactions.first_offset(header.producer_id)
        return [batch for batch in producer.batches if 0 <= first <= batch.base_offset]

    def record(
        self, header: BatchHeader, base_offset: int, log_append_time_ms: int, now_ms: int
    ) -> None:
        """The batch was written at `base_offset`."""
        if self._refused:
            self._refused.pop(header.producer_id, None)
        producer = self._producers.get(header.producer_id)
        if producer is None:
            producer = self._add(header.producer_id, header.producer_epoch)
        elif producer.epoch != header.producer_epoch:
            producer.epoch = header.producer_epoch
            producer.batches.clear()
        first, delta = header.base_sequence, header.last_offset_delta
        last = (first + delta) & _SEQUENCE_MASK
        producer.next_sequence = (last + 1) & _SEQUENCE_MASK
        producer.last_seen_ms = now_ms
        producer.wrote(
            WrittenBatch(first, last, base_offset, base_offset + delta, log_append_time_ms)
        )
        if header.attributes & ATTRIBUTE_TRANSACTIONAL:
            self.transactions.write(header.producer_id, base_offset, base_offset + delta + 1)

    def is_in_transaction(self, producer_id: int, epoch: int) -> bool:
        """Whether the producer has an open transaction here, in this epoch."""
        return (
            self.transactions.is_open(producer_id) and self._producers[producer_id].epoch == epoch
        )

    def check_marker(self, marker: Marker) -> bool:
        """Whether the marker says anything new: it ends a transaction, or fences an older epoch.

        Raises RequestError: INVALID_PRODUCER_EPOCH below the epoch seen last,
        TRANSACTION_COORDINATOR_FENCED below the coordinator's.
        """
        producer = self._producers.get(marker.producer_id)
        if producer is None:
            return True
        if marker.producer_epoch < producer.epoch:
            raise RequestError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"a marker of epoch {marker.producer_epoch} for producer {marker.producer_id}, "
                f"epoch {producer.epoch} was seen already",
            )
        if marker.coordinator_epoch < producer.coordinator_epoch:
            raise RequestError(
                ErrorCode.TRANSACTION_COORDINATOR_FENCED,
                f"a marker of coordinator epoch {marker.coordinator_epoch}, "
                f"{producer.coordinator_epoch} was seen already",
            )
        return marker.producer_epoch > producer.epoch or self.transactions.is_open(
            marker.producer_id
        )

    def end(self, marker: Marker, offset: int, now_ms: int) -> None:
        """The marker was written at `offset`."""
        producer = self._producers.get(marker.producer_id)
        if producer is None:
            producer = self._add(marker.producer_id, marker.producer_epoch)
        elif producer.epoch != marker.producer_epoch:
            producer.epoch = marker.producer_epoch
            producer.batches.clear()
            producer.next_sequence = 0
        producer.coordinator_epoch = marker.coordinator_epoch
        producer.last_seen_ms = now_ms
        self.transactions.end(marker.producer_id, offset, commit=marker.commit)

    def replay(self, header: BatchHeader, now_ms: int, marker: Marker | None = None) -> None:
        """A batch found in the log, in the order of offsets; it was checked when it came. A
        control batch comes with its `marker`."""
        if marker is not None:
            self.end(marker, header.base_offset, now_ms)
        elif header.producer_id >= 0 and not header.attributes & ATTRIBUTE_CONTROL:
            stamped = header.attributes & ATTRIBUTE_LOG_APPEND_TIME
            append_time_ms = header.max_timestamp if stamped else -1
            self.record(header, header.base_offset, append_time_ms, now_ms)

    def restored(self, now_ms: int) -> None:
        """After a start. When a producer was seen last may have been told by a clock that was
        wrong then: it may be in the future, or so long ago that a producer that is at work would
        be forgotten, and with it which batches it may send again."""
        earliest_ms = now_ms - EXPIRY_MS + GRACE_MS
        for producer in self._producers.values():
            producer.last_seen_ms = min(max(producer.last_seen_ms, earliest_ms), now_ms)

    def forget_idle(self, now_ms: int) -> int:
        """Forget producers idle for EXPIRY_MS without an open transaction; returns how many."""
        is_open = self.transactions.is_open
        idle = [
            producer_id
            for producer_id, producer in self._producers.items()
            if now_ms - producer.last_seen_ms >= EXPIRY_MS and not is_open(producer_id)
        ]
        for producer_id in idle:
            del self._producers[producer_id]
        return len(idle)

    def last_batch(self, producer_id: int) -> LastBatch | None:
        """What the producer wrote last; None if it is not known."""
        producer = self._producers.get(producer_id)
        if producer is None or not producer.batches:
            return None
        _, last_sequence, base_offset, last_offset, _ = producer.batches[-1]
        return LastBatch(last_sequence, base_offset, last_offset)

    def snapshots(self) -> list[ProducerSnapshot]:
        return [
            ProducerSnapshot(
                producer_id,
                producer.epoch,
                producer.batches[-1].last_sequence if producer.batches else -1,
                producer.last_seen_ms,
                producer.coordinator_epoch,
                self.transactions.first_offset(producer_id),
            )
            for producer_id, producer in self._producers.items()
        ]

    def last_offsets(self) -> dict[int, int]:
        """Producer -> last offset of its last batch."""
        return {
            producer_id: producer.batches[-1].last_offset
            for producer_id, producer in self._producers.items()
            if producer.batches
        }

    def encode(self) -> bytes:
        return b"".join(self._encoded())

    def _encoded(self) -> Iterator[bytes]:
        yield _COUNT.pack(len(self._producers))
        for producer_id, producer in self._producers.items():
            batches = producer.batches
            yield _PRODUCER.pack(
                producer_id,
                producer.epoch,
                len(batches),
                producer.last_seen_ms,
                producer.coordinator_epoch,
            )
            for batch in batches:
                yield _BATCH.pack(*batch)

    @classmethod
    def decode(
        cls, data: bytes, position: int = 0, version: int = 2
    ) -> "tuple[ProducerTable, int]":
        """The table, without its transactions, and the position after it; `version` is the
        checkpoint's. Raises struct.error if `data` ends before it."""
        table = cls()
        layout = _PRODUCER_V1 if version == 1 else _PRODUCER
        (count,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        for _ in range(count):
            producer_id, epoch, batches, *since_v1 = layout.unpack_from(data, position)
            position += layout.size
            producer = table._producers[producer_id] = _Producer(epoch)
            producer.last_seen_ms = since_v1[0]
            producer.coordinator_epoch = since_v1[1] if version > 1 else -1
            for _ in range(batches):
                producer.wrote(WrittenBatch._make(_BATCH.unpack_from(data, position)))
                position += _BATCH.size
            if producer.batches:
                producer.next_sequence = (producer.batches[-1].last_sequence + 1) & _SEQUENCE_MASK
        return table, position

    def _add(self, producer_id: int, epoch: int) -> _Producer:
        if len(self._producers) >= PRODUCERS_MAX:
            self._forget_idlest()
        producer = self._producers[producer_id] = _Producer(epoch)
        return producer

    def _forget_idlest(self) -> None:
        """But those with an open transaction, which the coordinator's bounds keep few."""
        is_open = self.transactions.is_open
        idlest = heapq.nsmallest(
            _FORGOTTEN_AT_ONCE,
            (item for item in self._producers.items() if not is_open(item[0])),
            key=lambda item: item[1].last_seen_ms,
        )
        for producer_id, _ in idlest:
            del self._producers[producer_id]


def _check_in_transaction(header: BatchHeader, epoch: int) -> None:
    """Whether a batch may be written while its producer's transaction of `epoch` is open."""
    if not header.attributes & ATTRIBUTE_TRANSACTIONAL:
        raise RequestError(
            ErrorCode.INVALID_TXN_STATE,
            f"producer {header.producer_id} wrote outside of its open transaction",
        )
    if header.producer_epoch > epoch:
        raise RequestError(
            ErrorCode.INVALID_TXN_STATE,
            f"producer {header.producer_id} has an open transaction of epoch {epoch}, "
            f"not {header.producer_epoch}",
        )
