"""What idempotent producers have written to one partition: retries, gaps and stale epochs.

Pure: no clock, no disk. A producer is its id; for each the table keeps the epoch and its last
WINDOW batches, which is as many as a client keeps in flight, so every retry a client can send is
recognised (KIP-98). Sequences count records, wrap from 2^31 - 1 to 0, and restart at 0 with a new
epoch. `check` decides and changes nothing; `record` is called once the batch is written.

In a checkpoint (`encode`, `decode`; little-endian):

    producers u32, then each: id i64, epoch i16, batches u8, last seen i64 (ms),
        then each batch: first sequence i32, last sequence i32, base offset i64,
        last offset i64, append time i64 (ms, -1 unless the topic stamps it)
"""

import heapq
import struct
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from headrace.log.contract import ProducerSnapshot
from headrace.wire.batch import ATTRIBUTE_LOG_APPEND_TIME, BatchHeader
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["EXPIRY_MS", "PRODUCERS_MAX", "WINDOW", "ProducerTable", "WrittenBatch"]

WINDOW: Final = 5
"""Batches remembered a producer: `max.in.flight.requests.per.connection` of idempotent clients."""
PRODUCERS_MAX: Final = 10_000
"""Producers remembered a partition; beyond it those idle longest are forgotten first."""
EXPIRY_MS: Final = 24 * 3600 * 1000
"""A producer idle for so long is forgotten (Kafka: producer.id.expiration.ms)."""

_FORGOTTEN_AT_ONCE: Final = PRODUCERS_MAX // 16
_SEQUENCE_MASK: Final = 0x7FFF_FFFF
_COUNT: Final = struct.Struct("<I")
_PRODUCER: Final = struct.Struct("<qhBq")
_BATCH: Final = struct.Struct("<iiqqq")


class WrittenBatch(NamedTuple):
    """One batch of the window. The append time is -1 unless the topic stamps it."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    log_append_time_ms: int


class _Producer:
    __slots__ = ("batches", "epoch", "last_seen_ms", "next_sequence")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.next_sequence = 0
        self.last_seen_ms = 0
        self.batches: deque[WrittenBatch] = deque(maxlen=WINDOW)


class ProducerTable:
    """The producers of one partition. Times are wall clock, ms."""

    __slots__ = ("_producers",)

    def __init__(self) -> None:
        self._producers: dict[int, _Producer] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def check(self, header: BatchHeader) -> WrittenBatch | None:
        """None when the batch may be appended; the first write of it when it is a retry.

        A producer that is not known may start anywhere: its state may have expired here.
        Raises RequestError: INVALID_PRODUCER_EPOCH below the epoch seen last,
        OUT_OF_ORDER_SEQUENCE_NUMBER for anything but the next sequence or a retry.
        """
        producer = self._producers.get(header.producer_id)
        if producer is None:
            return None
        sequence = header.base_sequence
        if header.producer_epoch == producer.epoch:
            if sequence == producer.next_sequence:
                return None
            last = (sequence + header.last_offset_delta) & _SEQUENCE_MASK
            for batch in producer.batches:
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
        raise RequestError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {header.producer_id} sent sequence {sequence}, expected {expected}",
        )

    def record(
        self, header: BatchHeader, base_offset: int, log_append_time_ms: int, now_ms: int
    ) -> None:
        """The batch was written at `base_offset`."""
        producer = self._producers.get(header.producer_id)
        if producer is None:
            if len(self._producers) >= PRODUCERS_MAX:
                self._forget_idlest()
            producer = self._producers[header.producer_id] = _Producer(header.producer_epoch)
        elif producer.epoch != header.producer_epoch:
            producer.epoch = header.producer_epoch
            producer.batches.clear()
        first, delta = header.base_sequence, header.last_offset_delta
        last = (first + delta) & _SEQUENCE_MASK
        producer.next_sequence = (last + 1) & _SEQUENCE_MASK
        producer.last_seen_ms = now_ms
        producer.batches.append(
            WrittenBatch(first, last, base_offset, base_offset + delta, log_append_time_ms)
        )

    def replay(self, header: BatchHeader, now_ms: int) -> None:
        """A batch found in the log, in the order of offsets; it was checked when it came."""
        if header.producer_id >= 0:
            stamped = header.attributes & ATTRIBUTE_LOG_APPEND_TIME
            append_time_ms = header.max_timestamp if stamped else -1
            self.record(header, header.base_offset, append_time_ms, now_ms)

    def forget_idle(self, now_ms: int) -> int:
        """Forget producers idle for EXPIRY_MS; returns how many."""
        idle = [
            producer_id
            for producer_id, producer in self._producers.items()
            if now_ms - producer.last_seen_ms >= EXPIRY_MS
        ]
        for producer_id in idle:
            del self._producers[producer_id]
        return len(idle)

    def snapshots(self) -> list[ProducerSnapshot]:
        return [
            ProducerSnapshot(
                producer_id,
                producer.epoch,
                producer.batches[-1].last_sequence,
                producer.last_seen_ms,
                -1,
            )
            for producer_id, producer in self._producers.items()
        ]

    def encode(self) -> bytes:
        return b"".join(self._encoded())

    def _encoded(self) -> Iterator[bytes]:
        yield _COUNT.pack(len(self._producers))
        for producer_id, producer in self._producers.items():
            batches = producer.batches
            yield _PRODUCER.pack(producer_id, producer.epoch, len(batches), producer.last_seen_ms)
            for batch in batches:
                yield _BATCH.pack(*batch)

    @classmethod
    def decode(cls, data: bytes, position: int = 0) -> "tuple[ProducerTable, int]":
        """The table and the position after it. Raises struct.error if `data` ends before it."""
        table = cls()
        (count,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        for _ in range(count):
            producer_id, epoch, batches, last_seen_ms = _PRODUCER.unpack_from(data, position)
            position += _PRODUCER.size
            producer = table._producers[producer_id] = _Producer(epoch)
            producer.last_seen_ms = last_seen_ms
            for _ in range(batches):
                producer.batches.append(WrittenBatch._make(_BATCH.unpack_from(data, position)))
                position += _BATCH.size
            producer.next_sequence = (producer.batches[-1].last_sequence + 1) & _SEQUENCE_MASK
        return table, position

    def _forget_idlest(self) -> None:
        idlest = heapq.nsmallest(
            _FORGOTTEN_AT_ONCE,
            self._producers.items(),
            key=lambda item: item[1].last_seen_ms,
        )
        for producer_id, _ in idlest:
            del self._producers[producer_id]
