"""The fetch service, one partition at a time: where it is, how much it has, what is read from it.

Budgets are soft in one place only: the first partition that has data yields at least one whole
batch, so a reader always gets on (KIP-74). What must not enter: waiting, and what a client asked
for before (`fetching`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.append import find_in_epoch
from headrace.log.contract import Aborted, LogOffsets, Slice
from headrace.log.reading import copy_slice, read_slice, send_slice, warm
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.fetch import PartitionWant

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topics import Partition

__all__ = [
    "RESPONSE_BYTES_MAX",
    "WAIT_MS_MAX",
    "Fetched",
    "Slice",
    "copy_slice",
    "find",
    "read",
    "read_slice",
    "readable_bytes",
    "send_slice",
    "warm",
]

RESPONSE_BYTES_MAX: Final = 55 * 1024 * 1024
"""fetch.max.bytes: whatever a client asks for, one answer holds no more."""
WAIT_MS_MAX: Final = 5 * 60 * 1000


class Fetched(NamedTuple):
    """One partition's part of the answer. `records` must be released once (by the sender)."""

    error: RequestError | None
    high_watermark: int
    last_stable_offset: int
    log_start_offset: int
    records: Slice | None
    aborted: Sequence[Aborted] | None = None
    """For a reader of committed data: which transactions in `records` never happened."""


def find(broker: "Broker", want: PartitionWant) -> "Partition | RequestError":
    """The partition, or why it cannot be read here."""
    try:
        return find_in_epoch(broker, want.topic, want.partition, want.current_leader_epoch)
    except RequestError as error:
        return error


def readable_bytes(
    found: "Partition | RequestError", want: PartitionWant, *, committed: bool
) -> int | None:
    """How much `want` would get; None if there is something to tell at once."""
    if isinstance(found, RequestError):
        return None
    try:
        offsets = found.log.offsets()
        if not offsets.start <= want.fetch_offset <= offsets.end:
            return None
        limit = offsets.last_stable if committed else offsets.high_watermark
        if want.fetch_offset >= limit:
            return 0
        available = found.log.readable_bytes_after(want.fetch_offset)
        if limit < offsets.high_watermark:
            available -= found.log.readable_bytes_after(limit)
    except RequestError:
        return None
    return min(max(available, 1), want.size_bytes_max)


async def read(
    found: "Partition | RequestError",
    want: PartitionWant,
    budget: int,
    *,
    at_least_one: bool,
    committed: bool,
) -> Fetched:
    """What `want` gets of at most `budget` bytes; its records are the caller's to release. A
    reader of `committed` data gets none from where the first transaction is open."""
    if isinstance(found, RequestError):
        return Fetched(found, -1, -1, -1, None)
    log = found.log
    try:
        offsets = log.offsets()
        records = None
        aborted: Sequence[Aborted] | None = () if committed else None
        size_max = min(want.size_bytes_max, budget)
        # Between the limit and the end lies what is not yet durable, or not yet committed.
        limit = offsets.last_stable if committed else offsets.high_watermark
        if not offsets.start <= want.fetch_offset <= offsets.end:
            return _out_of_range(want, offsets)
        if want.fetch_offset < limit and (size_max > 0 or at_least_one):
            records = await log.read(
                want.fetch_offset, max(size_max, 0), at_least_one=at_least_one, committed=committed
            )
            if records.size_bytes == 0:
                records.release()
                records = None
            else:
                found.topic.traffic.fetched_bytes += records.size_bytes
                if committed:
                    aborted = log.aborted_between(want.fetch_offset, records.next_offset)
    except RequestError as error:
        if error.code == ErrorCode.OFFSET_OUT_OF_RANGE:  # the start has moved meanwhile
            return _out_of_range(want, offsets)
        return Fetched(error, -1, -1, -1, None)
    return Fetched(
        None, offsets.high_watermark, offsets.last_stable, offsets.start, records, aborted
    )


def _out_of_range(want: PartitionWant, offsets: LogOffsets) -> Fetched:
    error = RequestError(
        ErrorCode.OFFSET_OUT_OF_RANGE,
        f"offset {want.fetch_offset} is not in {offsets.start} to {offsets.high_watermark}",
    )
    return Fetched(error, offsets.high_watermark, offsets.last_stable, offsets.start, None)
