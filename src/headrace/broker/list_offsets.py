"""The list-offsets service: from a time, or a word for a place, to an offset."""

from typing import TYPE_CHECKING, Final

from headrace.log.contract import EARLIEST, LATEST, MAX_TIMESTAMP, PartitionLog, TimestampedOffset
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.topics import Partition

__all__ = ["find_offset"]

EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
EARLIEST_PENDING_UPLOAD: Final = -6

NOT_FOUND: Final = TimestampedOffset(-1, -1, -1)


async def find_offset(
    partition: "Partition", timestamp: int, *, read_committed: bool
) -> TimestampedOffset:
    """The offset that `timestamp` (ms, or one of the negative words) stands for.

    Offset -1 means that there is none. Raises RequestError: KAFKA_STORAGE_ERROR,
    INVALID_REQUEST for a word that does not exist.
    """
    log: PartitionLog = partition.log
    if timestamp >= 0 or timestamp == MAX_TIMESTAMP:
        found = await log.offset_for_time(timestamp) or NOT_FOUND
        if read_committed and found.offset >= log.offsets().last_stable:
            return NOT_FOUND
        return found
    offsets = log.offsets()
    if timestamp == LATEST:
        end = offsets.last_stable if read_committed else offsets.high_watermark
        return TimestampedOffset(-1, end, log.leader_epoch)
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        return TimestampedOffset(-1, offsets.start, log.leader_epoch)
    if timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return NOT_FOUND
    raise RequestError(ErrorCode.INVALID_REQUEST, f"timestamp {timestamp} means nothing")
