"""What time a record is of: that of the batch it is in, read from the batch's header.

What must not enter: who wants to know.
"""

from typing import TYPE_CHECKING, Final

from headrace.log.reading import first_header
from headrace.wire.batch import ATTRIBUTE_DELETE_HORIZON, ATTRIBUTE_LOG_APPEND_TIME
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.topic import Partition

__all__ = ["record_time_ms"]

EMPTY_BATCHES_MAX: Final = 8
"""Batches of which compaction left no record that are stepped over to find one."""

_BASE_IS_NO_RECORDS: Final = ATTRIBUTE_LOG_APPEND_TIME | ATTRIBUTE_DELETE_HORIZON
"""With these the base timestamp is not that of the first record; the greatest will do."""


async def record_time_ms(partition: "Partition", offset: int) -> int:
    """Of the record at `offset`, or of the next one if that was deleted; -1 if it has none."""
    for _ in range(EMPTY_BATCHES_MAX):
        try:
            start = partition.log.offsets().start
            found = await partition.log.read(max(offset, start), 1, at_least_one=True)
        except RequestError:
            return -1
        try:
            header = await first_header(found)
        except OSError:
            return -1
        finally:
            found.release()
        if header is None:
            return -1
        if header.records_count:
            is_base_another = header.attributes & _BASE_IS_NO_RECORDS
            return header.max_timestamp if is_base_another else header.base_timestamp
        offset = header.next_offset
    return -1
