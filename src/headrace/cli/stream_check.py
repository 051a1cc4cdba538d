"""Whether every ingest stream of a topic is gapless and in order, told from batch headers alone.

Pure. A stream is a producer id in a partition; its sequences count records, wrap from 2^31 - 1 to 0
and begin at 0 with a stream, and again with a new epoch (KIP-98, which idempotent producers follow
too). One whose beginning retention has deleted begins where the log does. What must not enter:
fetching.
"""

from typing import Final, NamedTuple

from headrace.wire.batch import ATTRIBUTE_CONTROL, BatchHeader

__all__ = ["Fault", "Seen", "StreamCheck"]

FAULTS_KEPT_MAX: Final = 1_000
_SEQUENCE_MASK: Final = 0x7FFF_FFFF


class Fault(NamedTuple):
    """A batch at `offset` that does not follow the one before it of its stream."""

    partition: int
    producer_id: int
    offset: int
    what: str


class Seen:
    """One producer id in one partition."""

    __slots__ = ("batches", "epoch", "first_sequence", "next_sequence", "records")

    def __init__(self, header: BatchHeader) -> None:
        self.epoch = header.producer_epoch
        self.first_sequence = self.next_sequence = header.base_sequence
        self.records = 0
        self.batches = 0


class StreamCheck:
    """Fed with the headers of each partition, in their order."""

    def __init__(self) -> None:
        self.streams: dict[tuple[int, int], Seen] = {}
        """By partition and producer id."""
        self.faults: list[Fault] = []
        """The first FAULTS_KEPT_MAX."""
        self.faults_count = 0
        self.anonymous_records = 0
        """Without a producer id: nothing can be told of them."""
        self.compacted: set[int] = set()
        """Partitions of which compaction has removed batches: gaps are none there."""

    def add(self, partition: int, header: BatchHeader, *, log_start: int) -> None:
        """`log_start` is the partition's first offset."""
        if header.attributes & ATTRIBUTE_CONTROL:
            return
        if not header.records_count and header.producer_id < 0:
            self.compacted.add(partition)
            return
        if header.producer_id < 0:
            self.anonymous_records += header.records_count
            return
        key = partition, header.producer_id
        seen = self.streams.get(key)
        if seen is None:
            seen = self.streams[key] = Seen(header)
            if header.base_sequence and not log_start and partition not in self.compacted:
                self._fault(partition, header, f"begins with sequence {header.base_sequence}")
        elif header.producer_epoch < seen.epoch:
            self._fault(partition, header, f"epoch {header.producer_epoch} after {seen.epoch}")
        else:
            expected = seen.next_sequence if header.producer_epoch == seen.epoch else 0
            if header.base_sequence != expected and partition not in self.compacted:
                self._fault(
                    partition, header, f"sequence {header.base_sequence}, expected {expected}"
                )
        seen.epoch = header.producer_epoch
        seen.next_sequence = header.base_sequence + header.last_offset_delta + 1 & _SEQUENCE_MASK
        seen.records += header.records_count
        seen.batches += 1

    def _fault(self, partition: int, header: BatchHeader, what: str) -> None:
        self.faults_count += 1
        if len(self.faults) < FAULTS_KEPT_MAX:
            self.faults.append(Fault(partition, header.producer_id, header.base_offset, what))
