"""Acquiring records for a member: what can be had of its partitions, waiting for some if asked.

The log is read as for any consumer, as ranges of whole batches in a file; which records of them are
the member's is told beside them. Batch headers are all that is looked at. A range of batches of
which none is wanted (others hold it) is not sent.

Of several members that wait for one partition the first in line is woken, and wakes the next when
it has taken what it wanted. What must not enter: sessions' epochs, how an answer looks.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.fetch import RESPONSE_BYTES_MAX, WAIT_MS_MAX
from headrace.broker.share.committed import that_count
from headrace.broker.share.sessions import ShareSession
from headrace.broker.share.shared_partition import SharedPartition
from headrace.groups.share_steps import Acquire, Acquired
from headrace.log.contract import Slice
from headrace.log.reading import headers, warm
from headrace.wire.batch import BatchHeader
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k78_share_fetch import AcquireMode

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["ShareFetched", "ShareWant", "release", "share_fetch"]

RECORDS_MAX: Final = 100_000
"""Acquired for one request, whatever it asks for; the locks of a partition bound it as well."""


class ShareWant(NamedTuple):
    """What a member asks for. `batch_size` as in `Acquire`."""

    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    max_records: int
    batch_size: int
    mode: AcquireMode = AcquireMode.BATCH_OPTIMIZED


class ShareFetched(NamedTuple):
    """Of one partition, either an error or records. `records` are ranges of whole batches, each to
    be released once (by the sender); the member may have `acquired` of them."""

    shared: SharedPartition
    error: RequestError | None
    records: list[Slice]
    acquired: list[Acquired]


async def share_fetch(
    broker: "Broker", session: ShareSession, partitions: Sequence[SharedPartition], want: ShareWant
) -> list[ShareFetched]:
    """What could be acquired, in the order of `partitions`, and what failed; nothing of the others.
    Waits for `min_bytes`, or for anything that came back."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + min(max(want.max_wait_ms, 0), WAIT_MS_MAX) / 1000
    round_ = _Round(broker, session, partitions, want)
    while session.is_open:
        is_late = loop.time() >= until_s
        if is_late or round_.has_enough():
            before = [shared.automaton.next_offset() for shared in partitions]
            answers = await round_.acquire()
            if answers or is_late:
                return answers
            if before != [shared.automaton.next_offset() for shared in partitions]:
                continue  # over offsets without records
        await round_.wait(until_s - loop.time())
    for shared in partitions:
        shared.wake()
    return []


class _Round:
    """One request; it can be woken by every partition that it waits for."""

    def __init__(
        self,
        broker: "Broker",
        session: ShareSession,
        partitions: Sequence[SharedPartition],
        want: ShareWant,
    ) -> None:
        self._broker = broker
        self._session = session
        self._partitions = partitions
        self._want = want
        self._woken: asyncio.Future[None] | None = None

    def has_enough(self) -> bool:
        """Whether to answer now: enough bytes, records that came back, or something to report."""
        bytes_ready = 0
        for shared in self._partitions:
            try:
                offset, end = _readable(self._broker, shared)
            except RequestError:
                return True
            if offset is None or offset >= end:
                continue
            if offset < shared.automaton.end_offset:
                return True
            bytes_ready += shared.partition.log.readable_bytes_after(offset)
            if bytes_ready >= self._want.min_bytes:
                return True
        return False

    def __call__(self) -> bool:
        """Whether this one goes for it."""
        if self._woken is None or self._woken.done() or not self.has_enough():
            return False
        self._woken.set_result(None)
        return True

    async def wait(self, seconds: float) -> None:
        """Until woken or late."""
        self._woken = asyncio.get_running_loop().create_future()
        self._session.waiting.add(self._woken)
        for shared in self._partitions:
            shared.park(self)
        try:
            await asyncio.wait((self._woken,), timeout=max(seconds, 0))
        except asyncio.CancelledError:
            self._woken.cancel()
            for shared in self._partitions:
                shared.unpark(self)
                shared.wake()
            raise
        finally:
            self._session.waiting.discard(self._woken)
        for shared in self._partitions:
            shared.unpark(self)

    async def acquire(self) -> list[ShareFetched]:
        """Whoever waits behind this one has its turn then."""
        answers: list[ShareFetched] = []
        budget = min(self._want.max_bytes, RESPONSE_BYTES_MAX)
        left = min(self._want.max_records, RECORDS_MAX)
        try:
            for shared in self._partitions:
                if left <= 0 or (answers and budget <= 0):
                    break
                answer = await self._acquire(shared, left, budget, is_first=not answers)
                if answer is not None:
                    answers.append(answer)
                    left -= sum(run.last - run.first + 1 for run in answer.acquired)
                    budget -= sum(piece.size_bytes for piece in answer.records)
        except BaseException:
            for answer in answers:
                release(answer.records)
            raise
        finally:
            for shared in self._partitions:
                shared.wake()
        return answers

    async def _acquire(
        self, shared: SharedPartition, records_max: int, budget: int, *, is_first: bool
    ) -> ShareFetched | None:
        try:
            offset, end = _readable(self._broker, shared)
            if offset is None or offset >= end:
                return None
            found = await shared.partition.log.read(offset, max(budget, 0), at_least_one=is_first)
            if found.size_bytes == 0:
                found.release()
                return None
        except RequestError as error:
            if error.code == ErrorCode.OFFSET_OUT_OF_RANGE:
                return None  # the log lost its beginning just now
            return ShareFetched(shared, error, [], [])
        try:
            reach = min(max(shared.automaton.reach(records_max), offset + 1), end)
            placed = [at for at in await headers(found, reach) if at[1].next_offset <= end]
            if found.cold and placed:
                position, header = placed[-1]
                needed_bytes = position + header.size_bytes - found.position
                await warm(found._replace(size_bytes=needed_bytes))
            acquired = self._lock(shared, offset, placed, records_max)
        except OSError as error:
            found.release()
            refusal = RequestError(ErrorCode.KAFKA_STORAGE_ERROR, f"cannot be read: {error}")
            return ShareFetched(shared, refusal, [], [])
        except BaseException:
            found.release()
            raise
        records = _cut(found, placed, acquired)
        if not acquired:
            return None
        shared.partition.topic.traffic.fetched_bytes += sum(piece.size_bytes for piece in records)
        return ShareFetched(shared, None, records, acquired)

    def _lock(
        self,
        shared: SharedPartition,
        offset: int,
        placed: list[tuple[int, BatchHeader]],
        records_max: int,
    ) -> list[Acquired]:
        """Acquire what is still free of batches that were just read from `offset` on."""
        automaton = shared.automaton
        if not self._session.is_open:
            return []
        if not placed or shared.is_forgotten or offset > automaton.end_offset:
            return []  # set back by an administrator meanwhile
        end = placed[-1][1].next_offset
        aborted = shared.partition.log.aborted_between(offset, end)
        if not _reads_committed(self._broker, shared):
            aborted = ()
        batches = [
            (max(header.base_offset, offset), header.last_offset)
            for header in that_count((header for _, header in placed), aborted)
        ]
        request = Acquire(
            self._session.member_id,
            offset,
            end,
            batches,
            records_max,
            self._want.mode,
            max(self._want.batch_size, 1),
        )
        acquired, step = automaton.acquire(request, self._broker.steady_ms())
        shared.settle(step)
        if acquired:
            self._broker.share.locked(self._session, shared)
            shared.redelivered += sum(
                run.last - run.first + 1 for run in acquired if run.delivery_count > 1
            )
        return acquired


def _readable(broker: "Broker", shared: SharedPartition) -> tuple[int | None, int]:
    """From where on records can be acquired, None if none can be, and up to where they may be read.
    Raises RequestError when the log is offline."""
    offsets = shared.partition.log.offsets()
    if shared.automaton.start_offset < offsets.start:
        shared.settle(shared.automaton.log_started_at(offsets.start))
    end = offsets.last_stable if _reads_committed(broker, shared) else offsets.high_watermark
    return shared.automaton.next_offset(), end


def _reads_committed(broker: "Broker", shared: SharedPartition) -> bool:
    return broker.group_configs.text(shared.group_id, "share.isolation.level") == "read_committed"


def _cut(
    found: Slice, placed: list[tuple[int, BatchHeader]], acquired: list[Acquired]
) -> list[Slice]:
    """The batches that hold something acquired, neighbours as one range. `found` is used up."""
    ranges: list[tuple[int, int]] = []
    place = 0
    for position, header in placed:
        while place < len(acquired) and acquired[place].last < header.base_offset:
            place += 1
        if place == len(acquired):
            break
        if acquired[place].first > header.last_offset:
            continue
        end = position + header.size_bytes
        if ranges and ranges[-1][1] == position:
            ranges[-1] = ranges[-1][0], end
        else:
            ranges.append((position, end))
    release = _Release(found, len(ranges))
    return [
        found._replace(position=begin, size_bytes=end - begin, cold=False, release=release)
        for begin, end in ranges
    ]


class _Release:
    """Lets go of a slice when all of its pieces were let go of."""

    __slots__ = ("_found", "_pieces")

    def __init__(self, found: Slice, pieces: int) -> None:
        self._found = found
        self._pieces = pieces
        if not pieces:
            found.release()

    def __call__(self) -> None:
        self._pieces -= 1
        if not self._pieces:
            self._found.release()


def release(records: list[Slice]) -> None:
    """Those of one answer that nobody will read."""
    for piece in records:
        piece.release()
