"""The fetch service: read several partitions within one budget, waiting for data if asked.

A fetch is parked on the logs that it reads; nothing polls. Budgets are soft in one place only: the
first partition that has data yields at least one whole batch, so a reader always gets on (KIP-74).
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.append import find_in_epoch
from headrace.log.contract import Aborted, Slice
from headrace.log.reading import copy_slice, send_slice, warm
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.fetch import PartitionWant

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topics import Partition

__all__ = [
    "RESPONSE_BYTES_MAX",
    "Fetched",
    "Slice",
    "copy_slice",
    "fetch",
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


class _Parked:
    """Wakes a waiting fetch when enough can be read, or when waiting has lost its point."""

    __slots__ = ("_enough", "future")

    def __init__(self, enough: Callable[[], bool]) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enough = enough

    def __call__(self) -> None:
        if not self.future.done() and self._enough():
            self.future.set_result(None)


async def fetch(
    broker: "Broker",
    wants: Sequence[PartitionWant],
    *,
    min_bytes: int,
    max_bytes: int,
    max_wait_ms: int,
    committed: bool = False,
) -> list[Fetched]:
    """One answer per want, in order. Waits up to `max_wait_ms` for `min_bytes` to be readable;
    any partition's error ends the wait at once. A reader of `committed` data gets none from where
    the first transaction is open."""
    found = [_find(broker, want) for want in wants]
    if max_wait_ms > 0 and min_bytes > 0:
        enough = partial(_enough, found, wants, min_bytes, committed=committed)
        if not enough():
            await _wait(found, enough, min(max_wait_ms, WAIT_MS_MAX))
    budget = min(max_bytes, RESPONSE_BYTES_MAX)
    answers: list[Fetched] = []
    empty_so_far = True
    try:
        for partition, want in zip(found, wants, strict=True):
            answer = await _read(partition, want, budget, empty_so_far, committed)
            answers.append(answer)
            if answer.records is not None:
                budget -= answer.records.size_bytes
                empty_so_far = False
    except BaseException:
        for answer in answers:
            if answer.records is not None:
                answer.records.release()
        raise
    if not empty_so_far:
        broker.stats.fetch_bytes.observe(min(max_bytes, RESPONSE_BYTES_MAX) - budget)
    return answers


def _find(broker: "Broker", want: PartitionWant) -> "Partition | RequestError":
    try:
        return find_in_epoch(broker, want.topic, want.partition, want.current_leader_epoch)
    except RequestError as error:
        return error


def _enough(
    found: Sequence["Partition | RequestError"],
    wants: Sequence[PartitionWant],
    min_bytes: int,
    *,
    committed: bool,
) -> bool:
    """Whether to answer now: enough bytes, or something to report."""
    readable = 0
    for partition, want in zip(found, wants, strict=True):
        if isinstance(partition, RequestError):
            return True
        try:
            offsets = partition.log.offsets()
            if not offsets.start <= want.fetch_offset <= offsets.end:
                return True
            limit = offsets.last_stable if committed else offsets.high_watermark
            if want.fetch_offset < limit:
                available = partition.log.readable_bytes_after(want.fetch_offset)
                if limit < offsets.high_watermark:
                    available -= partition.log.readable_bytes_after(limit)
                readable += min(max(available, 1), want.size_bytes_max)
        except RequestError:
            return True
        if readable >= min_bytes:
            return True
    return not wants


async def _wait(
    found: Sequence["Partition | RequestError"], enough: Callable[[], bool], wait_ms: int
) -> None:
    parked = _Parked(enough)
    cancels = [
        partition.log.notify(parked)
        for partition in found
        if not isinstance(partition, RequestError)
    ]
    timer = asyncio.get_running_loop().call_later(wait_ms / 1000, _expire, parked.future)
    try:
        await parked.future
    finally:
        timer.cancel()
        for cancel in cancels:
            cancel()


def _expire(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _read(
    partition: "Partition | RequestError",
    want: PartitionWant,
    budget: int,
    at_least_one: bool,
    committed: bool,
) -> Fetched:
    if isinstance(partition, RequestError):
        return Fetched(partition, -1, -1, -1, None)
    log = partition.log
    try:
        offsets = log.offsets()
        records = None
        aborted: Sequence[Aborted] | None = () if committed else None
        size_max = min(want.size_bytes_max, budget)
        # Between the limit and the end lies what is not yet durable, or not yet committed.
        limit = offsets.last_stable if committed else offsets.high_watermark
        at_the_tail = limit <= want.fetch_offset <= offsets.end
        if not at_the_tail and (size_max > 0 or at_least_one):
            records = await log.read(
                want.fetch_offset, max(size_max, 0), at_least_one=at_least_one, committed=committed
            )
            if records.size_bytes == 0:
                records.release()
                records = None
            else:
                partition.topic.traffic.fetched_bytes += records.size_bytes
                if committed:
                    aborted = log.aborted_between(want.fetch_offset, records.next_offset)
    except RequestError as error:
        if error.code == ErrorCode.OFFSET_OUT_OF_RANGE:
            return Fetched(error, offsets.high_watermark, offsets.last_stable, offsets.start, None)
        return Fetched(error, -1, -1, -1, None)
    return Fetched(
        None, offsets.high_watermark, offsets.last_stable, offsets.start, records, aborted
    )
