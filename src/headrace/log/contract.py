"""What the broker may ask of a partition's log: the seam behind which other stores can stand.

`log.local.LocalLog` keeps a partition on this machine's disk. A store without a disk (an object
store with a sequencer) would implement the same few calls; `tests/log/contract.py` states what
every implementation must keep. The vocabulary is bytes, offsets and time; what must not enter:
topic names, groups, sockets, requests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from headrace.wire.errors import RequestError
from headrace.wire.markers import Marker

__all__ = [
    "ACKS_ALL",
    "ACKS_LEADER",
    "ACKS_NONE",
    "EARLIEST",
    "LATEST",
    "MAX_TIMESTAMP",
    "Aborted",
    "AppendDone",
    "Appended",
    "CleaningDone",
    "CleaningState",
    "CorruptLogError",
    "LastBatch",
    "LogConfig",
    "LogOffsets",
    "PartitionLog",
    "ProducerSnapshot",
    "Slice",
    "SyncRound",
    "TimestampedOffset",
]

ACKS_ALL: Final = -1
ACKS_LEADER: Final = 1
ACKS_NONE: Final = 0

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3


class CorruptLogError(Exception):
    """Damage that is not a torn tail: named (file, position, why), never skipped or repaired."""


class Appended(NamedTuple):
    """Where a batch went. `log_append_time_ms` is -1 unless the topic stamps append time."""

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    log_start_offset: int
    duplicate: bool
    """True for a retry of a batch that was there already: the offsets are the first ones."""


AppendDone = Callable[[Appended | RequestError], None]


class LogOffsets(NamedTuple):
    """`start <= last_stable <= high_watermark <= end`; all are next offsets, so the last readable
    record is at `high_watermark - 1`, and the last one that readers of committed data may have at
    `last_stable - 1`: there the first transaction begins whose end cannot be read yet."""

    start: int
    last_stable: int
    high_watermark: int
    end: int


class Slice(NamedTuple):
    """Whole batches, as bytes of a file: what `os.sendfile` needs. Empty when `size_bytes` is 0.

    `file` is an open descriptor that stays valid until `release` is called, even if the segment
    is deleted meanwhile; call it exactly once.
    """

    file: int
    position: int
    size_bytes: int
    cold: bool
    """Whether the bytes may be missing from the page cache: warm them off the loop first."""
    release: Callable[[], None]
    next_offset: int = -1
    """The one after the last record; -1 when the slice is empty."""


class SyncRound(NamedTuple):
    """One round of group commit, as it is reported to whoever counts."""

    sync_s: float
    """What the disk took."""
    delay_s: float
    """From the first append that the round was for until its log heard of the outcome: how far
    readable was behind written."""
    failed: int
    """Logs whose sync failed."""


class Aborted(NamedTuple):
    """From `first_offset` to its next marker, records of `producer_id` do not count."""

    producer_id: int
    first_offset: int


class TimestampedOffset(NamedTuple):
    timestamp_ms: int
    offset: int
    leader_epoch: int


class ProducerSnapshot(NamedTuple):
    """One producer's state in this partition, as DescribeProducers shows it."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp_ms: int
    coordinator_epoch: int
    """Of the last transaction marker; -1 before the first."""
    current_txn_start_offset: int
    """-1 when no transaction of the producer is open here."""


class CleaningState(NamedTuple):
    """How far compaction is behind, in bytes of sealed segments that it may work on."""

    clean_bytes: int
    """It has been through these."""
    dirty_bytes: int
    is_due: bool
    """Enough is dirty (LogConfig.dirty_ratio_min), or has been for too long."""
    failure: str | None
    """Why this log is not compacted any more: damage that was met. Nothing was deleted."""

    @property
    def dirty_ratio(self) -> float:
        total = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / total if total else 0.0


class CleaningDone(NamedTuple):
    """One compaction pass."""

    read_bytes: int
    """Of the segments that were gone through; the dirty ones were read once more for their keys."""
    freed_bytes: int


class LastBatch(NamedTuple):
    """What a producer wrote last. Sequences wrap from 2^31 - 1 to 0."""

    last_sequence: int
    base_offset: int
    last_offset: int


@dataclass(slots=True)
class LogConfig:
    """What a topic's configuration means to its logs; replaced whole when it changes."""

    segment_bytes: int = 1 << 30
    segment_age_ms: int = 7 * 24 * 3600 * 1000
    retention_ms: int = 7 * 24 * 3600 * 1000
    """-1 keeps for ever."""
    retention_bytes: int = -1
    """Per partition; -1 is no limit."""
    retain: bool = False
    """Never delete by time or size, whatever the two above say."""
    delete: bool = True
    """cleanup.policy has delete: without it nothing is deleted by time or size either."""
    compact: bool = False
    """cleanup.policy has compact: of each key the latest record is kept. Records need keys."""
    dirty_ratio_min: float = 0.5
    """Compact when more than this part of what may be compacted never was."""
    compaction_lag_ms_min: int = 0
    """Records younger than this stay as they are."""
    compaction_lag_ms_max: int = 2**63 - 1
    """Compact when records have waited for so long, whatever the ratio."""
    delete_retention_ms: int = 24 * 3600 * 1000
    """How long a tombstone stays after what it deletes is gone."""
    append_time: bool = False
    """message.timestamp.type=LogAppendTime."""
    timestamp_before_max_ms: int = 2**63 - 1
    timestamp_after_max_ms: int = 3600 * 1000
    """How far a batch's first timestamp may be behind, its greatest ahead of the clock, unless
    append_time. Retention goes by timestamps: one from the future would keep its segment."""
    index_interval_bytes: int = 16 * 1024


class PartitionLog(Protocol):
    """One partition. Every call is made on the event loop's thread; none blocks it on the disk.

    A log that met an I/O error it cannot take back (a failed fsync) is offline: every later call
    raises RequestError(KAFKA_STORAGE_ERROR) with the reason.
    """

    leader_epoch: int
    """Stamped into every batch. One machine owns a partition for ever, so it stays what it was."""

    def append(self, batch: memoryview, acks: int, done: AppendDone | None) -> None:
        """Append one checked batch from a producer (`wire.batch.check_from_producer` is called
        here), stamping offset and epoch into `batch` itself; the bytes are not kept afterwards.

        `done` is called once: for ACKS_ALL when the bytes are as durable as the policy promises,
        for ACKS_LEADER when they are written, with a RequestError if a write or sync fails. For
        ACKS_NONE it may be None. It may be called before `append` returns, and must not raise.

        A retry within the producer's last five batches gives the first Appended again. A
        transactional batch begins its producer's transaction here, or goes on with it; whether
        there may be one is the caller's to know.
        Raises RequestError: what check_from_producer raises, OUT_OF_ORDER_SEQUENCE_NUMBER,
        INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE (outside of the producer's open transaction),
        INVALID_TIMESTAMP (see LogConfig), RECORD_LIST_TOO_LARGE (larger than a segment),
        POLICY_VIOLATION (too many aborted transactions to begin another), KAFKA_STORAGE_ERROR
        (disk full or failed; nothing was appended), and where LogConfig.compact
        InvalidRecordsError for records without a key.
        """

    def append_marker(self, marker: Marker, done: AppendDone) -> None:
        """End the producer's transaction here. `done` is called once, when that is as durable as
        the policy promises, or with a RequestError; perhaps before this returns. A marker that
        ends nothing and fences nobody is not written: `done` hears of `base_offset` -1.

        Raises RequestError: INVALID_PRODUCER_EPOCH for one older than the producer's last,
        TRANSACTION_COORDINATOR_FENCED, KAFKA_STORAGE_ERROR.
        """

    def is_in_transaction(self, producer_id: int, producer_epoch: int) -> bool:
        """Whether this producer has a transaction open here, in this epoch."""

    async def read(
        self, offset: int, size_bytes_max: int, *, at_least_one: bool, committed: bool = False
    ) -> Slice:
        """Whole batches from the one that holds `offset` up to the high watermark (for
        `committed` data up to the last stable offset), at most `size_bytes_max`; with
        `at_least_one` the first batch comes even if it is larger.

        Raises RequestError: OFFSET_OUT_OF_RANGE below `start` or above `high_watermark`,
        CORRUPT_MESSAGE where a batch at `offset` should be and is not, KAFKA_STORAGE_ERROR when
        the disk does not give it. What an earlier process wrote is checked when it is read first
        (`checking`); the rest is what this one was given, with the CRC that its producer made.
        """

    def aborted_between(self, start: int, end: int) -> Sequence[Aborted]:
        """The aborted transactions with records or marker in [start, end), by first offset."""

    def committed_end(self) -> int:
        """Up to where there may be records for a reader of committed data: the last stable offset,
        or where the markers and aborted records begin that are all there is before it. Raises
        RequestError when the log is offline or closed."""

    def offsets(self) -> LogOffsets:
        """Where the log is now. Raises RequestError when it is offline or closed."""

    def readable_bytes_after(self, offset: int) -> int:
        """About how many bytes a reader at `offset` can have now; exact at the tail. Cheap."""

    def notify(self, waiter: Callable[[], None]) -> Callable[[], None]:
        """Call `waiter` (on the loop, again and again) when the high watermark or the start moves
        or the log goes offline or is closed; returns what cancels it."""

    async def offset_for_time(self, timestamp_ms: int) -> TimestampedOffset | None:
        """The first readable record with a timestamp of at least `timestamp_ms`, or for
        MAX_TIMESTAMP the one with the greatest; None when there is none. Raises as `read`."""

    async def delete_before(self, offset: int) -> int:
        """Move the start to `offset` (-1: the high watermark), durably; returns the new start.
        Raises RequestError OFFSET_OUT_OF_RANGE beyond the high watermark."""

    def producers(self) -> list[ProducerSnapshot]: ...

    def last_batch(self, producer_id: int) -> LastBatch | None:
        """None for a producer that the log does not know, or not any more."""

    def size_bytes(self) -> int:
        """What the partition takes on the disk."""

    def configure(self, config: LogConfig) -> None:
        """Use `config` from now on, without a restart."""

    async def tidy(self, now_ms: int) -> int:
        """Roll an aged segment, delete what retention no longer keeps, forget idle producers;
        returns how many segments were deleted. Called at least every minute."""

    def cleaning(self, now_ms: int) -> CleaningState | None:
        """Whether there is something to compact; None unless LogConfig.compact. Cheap."""

    async def clean(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        """Compact the log as far as it goes in one pass with so much memory for keys. Offsets
        stay; appends and reads go on. Ends early, without an error, when the log is closed.

        Raises RequestError: CORRUPT_MESSAGE for damage that was met (see CleaningState.failure),
        KAFKA_STORAGE_ERROR when the disk is full or fails. Nothing has changed then.
        """

    async def close(self) -> None:
        """Sync, write what makes the next start quick, close. Idempotent."""
