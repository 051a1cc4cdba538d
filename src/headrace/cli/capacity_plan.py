"""The arithmetic of a disk: how much of it a stream of records takes that is kept for a while.

    kept     = write x (retention + CHECK_S) + whole segments
    needed   = kept x (1 + INDEX_SHARE) / (1 - headroom)

- Batches lie on the disk as they came over the wire, once: compressed as their producer compressed
  them, in one copy. What an fsync costs is time, not space.
- Retention looks every CHECK_S, and deletes whole segments: of each partition there is up to one
  segment more than was asked for, or what comes within its greatest age where that is less.
- A segment's index has an entry for every so many bytes of it.

Pure. What must not enter: how a person is told.
"""

from typing import Final, NamedTuple

__all__ = ["CHECK_S", "INDEX_SHARE", "REPLICAS", "SEGMENT_AGE_S", "SEGMENT_BYTES", "Terms"]

REPLICAS: Final = 1
CHECK_S: Final = 60
"""log.retention.check.interval.ms, at its longest."""
INDEX_ENTRY_BYTES: Final = 24
INDEX_INTERVAL_BYTES: Final = 16 * 1024
"""index.interval.bytes"""
INDEX_SHARE: Final = INDEX_ENTRY_BYTES / INDEX_INTERVAL_BYTES
SEGMENT_BYTES: Final = 1 << 30
"""segment.bytes"""
SEGMENT_AGE_S: Final = 7 * 24 * 3600
"""segment.ms"""


class Terms(NamedTuple):
    """What holds besides the disk, the write rate and the retention."""

    headroom: float
    """The part of the disk that is to stay free, 0 to below 1."""
    partitions: int
    segment_bytes: int

    def segments_bytes(self, write: float) -> float:
        """What is kept longer than asked, because segments go as a whole."""
        return min(self.partitions * self.segment_bytes, write * SEGMENT_AGE_S)

    def kept_bytes(self, write: float, retention_s: float) -> float:
        """Of records, at `write` bytes a second."""
        return write * (retention_s + CHECK_S) + self.segments_bytes(write)

    def disk_bytes(self, write: float, retention_s: float) -> float:
        """The disk that is needed."""
        return self.kept_bytes(write, retention_s) * (1 + INDEX_SHARE) / (1 - self.headroom)

    def retention_s(self, disk: float, write: float) -> float:
        """The longest one that fits; negative if none does."""
        return (self.room_bytes(disk) - self.segments_bytes(write)) / write - CHECK_S

    def write(self, disk: float, retention_s: float) -> float:
        """The greatest rate that fits, in bytes a second."""
        room = self.room_bytes(disk)
        slow = room / (retention_s + CHECK_S + SEGMENT_AGE_S)  # segments that end by their age
        fast = (room - self.partitions * self.segment_bytes) / (retention_s + CHECK_S)
        return max(slow, fast)

    def room_bytes(self, disk: float) -> float:
        """For records."""
        return disk * (1 - self.headroom) / (1 + INDEX_SHARE)
