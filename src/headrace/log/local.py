"""A partition on this machine's disk: `contract.PartitionLog` over segments, producers, flusher.

The road of an append: check the batch, ask the producer table, stamp it in place, one pwrite to
the active segment, count. What follows depends on the durability policy:

- *os*: the bytes are in the page cache and survive the process. The high watermark moves at once
  and the producer is answered inside `append`.
- *fsync*: the log joins the flusher's next round. When that is back, the high watermark moves to
  where the log ended as the round began, and those who waited for that are answered.

`tail` is where the log ends, `readable` is the high watermark as a place; both are replaced whole,
because the flusher reads `tail` from its thread.

What must not enter: topics, file formats, what has to be synced (`syncing`), what is done once in
a while (`upkeep`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from headrace.log import upkeep
from headrace.log.compaction import Compaction
from headrace.log.contract import (
    ACKS_ALL,
    ACKS_LEADER,
    ACKS_NONE,
    Aborted,
    AppendDone,
    Appended,
    CleaningDone,
    CleaningState,
    LastBatch,
    LogConfig,
    LogOffsets,
    ProducerSnapshot,
    Slice,
    TimestampedOffset,
)
from headrace.log.files import OpenFile
from headrace.log.keys import check_keys
from headrace.log.marks import LogMark
from headrace.log.producers import WrittenBatch
from headrace.log.reader import Reader
from headrace.log.reading import EMPTY_SLICE
from headrace.log.recovery import Recovered
from headrace.log.resources import Resources
from headrace.log.segment import LEADER_EPOCH, Segment, Tail
from headrace.log.segments import Segments
from headrace.log.syncing import Syncing
from headrace.log.transactions import ABORTED_MAX
from headrace.log.writing import write_batch
from headrace.wire.batch import (
    ATTRIBUTE_TRANSACTIONAL,
    check_from_producer,
    check_timestamps,
    stamp,
    stamp_append_time,
)
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker, build_marker

__all__ = ["LocalLog"]

WARNING_INTERVAL_MS: Final = 60_000
"""Between two warnings that batches cannot be written."""

_log = logging.getLogger(__name__)


class LocalLog:
    """Made by `LogStore.open_log`. What has no underscore but is not in the contract is for this
    package."""

    def __init__(
        self,
        directory: str,
        config: LogConfig,
        resources: Resources,
        recovered: Recovered,
        mark: LogMark,
        new_directories: Sequence[str],
    ) -> None:
        """`new_directories` are to be synced before anything in them counts as durable."""
        self.leader_epoch = LEADER_EPOCH
        self.directory = directory
        self.config = config
        self.resources = resources
        self.segments = Segments(recovered.segments)
        self.start_offset = recovered.start_offset
        self.producer_table = recovered.producers
        active = self.segments.active
        self.tail: Tail = (active.end_offset, active, active.size_bytes)
        self.readable: Tail = self.tail
        self.saved_bytes = active.end_bytes - recovered.scanned_bytes
        """Up to where in the log's bytes the last checkpoint reaches."""
        is_saved = recovered.scanned_bytes == recovered.cut_bytes == 0 and all(
            segment.is_index_saved for segment in self.segments if segment is not active
        )
        self.saved = self.state_to_save(self.start_offset) if is_saved else None
        """What the last checkpoint was for."""
        self.compaction = Compaction(self, recovered.clean_until)
        self.upkeep = asyncio.Lock()
        """Held by whoever writes checkpoints or removes segments."""
        self.doomed: list[Segment] = []
        """Segments before the start whose files are still to be deleted."""
        self.failed = False
        """An I/O error left the disk in doubt: what is there counts only after a new start."""
        self.tidied_at = -1
        """The end offset when the log was tidied last."""
        self.is_closing = False
        self._warned_ms = 0
        self._refusal: tuple[ErrorCode, str] | None = None
        self._has_flusher = resources.flusher is not None
        self._syncing = Syncing(self, mark, new_directories)
        self._reader = Reader(resources, self.segments, config.index_interval_bytes)
        self._waiting: deque[tuple[int, AppendDone, Appended]] = deque()
        """Unanswered appends, each until the high watermark is at its offset. Its bound is that
        of the requests in flight, which the doors keep."""
        self._watchers: dict[int, Callable[[], None]] = {}
        self._watchers_made = 0
        self._checkpointing: asyncio.Task[None] | None = None

    # Appending

    def append(self, batch: memoryview, acks: int, done: AppendDone | None) -> None:
        if self._refusal is not None:
            raise RequestError(*self._refusal)
        header = check_from_producer(batch)
        is_idempotent = header.producer_id >= 0
        if is_idempotent:
            retry_of = self.producer_table.check(header)
            if retry_of is not None:
                self._answer_retry(retry_of, acks, done)
                return
            if header.attributes & ATTRIBUTE_TRANSACTIONAL:
                self._check_room_for_transaction(header.producer_id)
        config = self.config
        if config.compact:
            check_keys(batch)
        append_time_ms = -1
        now_ms = self.resources.now_ms()
        max_timestamp = header.max_timestamp
        if config.append_time:
            append_time_ms = max_timestamp = now_ms
            stamp_append_time(batch, append_time_ms)
        else:
            earliest_ms = now_ms - config.timestamp_before_max_ms
            check_timestamps(header, earliest_ms, now_ms + config.timestamp_after_max_ms)
        base_offset = self.tail[0]
        try:
            self._write(batch, header.records_count, max_timestamp, now_ms)
        except RequestError as error:
            if is_idempotent and error.code is ErrorCode.KAFKA_STORAGE_ERROR:
                self.producer_table.refused(header)
            raise
        if is_idempotent:
            self.producer_table.record(header, base_offset, append_time_ms, now_ms)
        last_offset = base_offset + header.last_offset_delta
        appended = Appended(base_offset, last_offset, append_time_ms, self.start_offset, False)
        self._acknowledge(appended, acks, done)

    def append_marker(self, marker: Marker, done: AppendDone) -> None:
        self.check()
        table = self.producer_table
        if not table.check_marker(marker):
            if self.readable[0] == self.tail[0]:
                done(Appended(-1, -1, -1, self.start_offset, False))
            else:  # what it would have ended was ended, and that may not be durable yet
                self.wait_for_round(done)
            return
        now_ms = self.resources.now_ms()
        offset = self.tail[0]
        self._write(memoryview(build_marker(marker, now_ms)), 1, now_ms, now_ms)
        table.end(marker, offset, now_ms)
        self._acknowledge(Appended(offset, offset, -1, self.start_offset, False), ACKS_ALL, done)

    def is_in_transaction(self, producer_id: int, producer_epoch: int) -> bool:
        return self.producer_table.is_in_transaction(producer_id, producer_epoch)

    def _write(self, batch: memoryview, count: int, max_timestamp: int, now_ms: int) -> None:
        """Put a batch of `count` offsets at the log's end. Raises RequestError."""
        size = len(batch)
        segment = self.segments.active
        if segment.size_bytes + size > self.config.segment_bytes:
            segment = self._segment_for(size)
        file = segment.file or self._open_active()
        base_offset = self.tail[0]
        stamp(batch, base_offset, self.leader_epoch)
        position = segment.size_bytes
        end = position + size
        try:
            write_batch(file.fd, batch, position)
        except OSError as error:
            raise self._not_written(error) from error
        next_offset = base_offset + count
        interval_bytes = self.config.index_interval_bytes
        segment.add(position, end, base_offset, next_offset, max_timestamp, interval_bytes)
        if position == 0:
            segment.first_append_ms = now_ms
        self.tail = (next_offset, segment, end)

    def _check_room_for_transaction(self, producer_id: int) -> None:
        transactions = self.producer_table.transactions
        if transactions.is_full() and not transactions.is_open(producer_id):
            raise RequestError(
                ErrorCode.POLICY_VIOLATION,
                f"the partition keeps {ABORTED_MAX} aborted transactions; it takes new ones when "
                "retention has removed some",
            )

    def _acknowledge(self, appended: Appended, acks: int, done: AppendDone | None) -> None:
        """A batch was written at the log's end: answer now, or when it is durable."""
        if not self._has_flusher:
            self.readable = self.tail
            self.producer_table.transactions.readable_to(self.tail[0])
            if done is not None and acks != ACKS_NONE:
                done(appended)
            if self._watchers:
                self._tell_watchers()
            return
        if acks == ACKS_ALL:
            if done is not None:
                self._waiting.append((self.tail[0], done, appended))
        elif acks == ACKS_LEADER and done is not None:
            done(appended)
        if not self._syncing.is_queued:
            self._syncing.queue()

    def _answer_retry(self, first: WrittenBatch, acks: int, done: AppendDone | None) -> None:
        if done is None or acks == ACKS_NONE:
            return
        appended = Appended(
            first.base_offset, first.last_offset, first.log_append_time_ms, self.start_offset, True
        )
        if acks == ACKS_LEADER or first.last_offset < self.readable[0]:
            done(appended)
        else:
            self._waiting.append((first.last_offset + 1, done, appended))

    def _segment_for(self, size: int) -> Segment:
        """The active segment does not take `size` bytes more: a new one, if any can."""
        if size > self.config.segment_bytes:
            raise RequestError(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"the batch has {size} bytes, a segment at most {self.config.segment_bytes}",
            )
        if self.segments.active.size_bytes:
            self.roll()
        return self.segments.active

    def _open_active(self) -> OpenFile:
        """The active segment's file: created by the first append, or closed while idle."""
        segment = self.segments.active
        try:
            file = segment.open_for_writing()
        except OSError as error:
            raise _storage_error(f"{segment.path} cannot be opened: {error}") from error
        if segment.size_bytes == 0:
            self._syncing.has_new_file()
        return file

    def _not_written(self, error: OSError) -> RequestError:
        """Nothing was appended. One warning a minute: producers try again."""
        now_ms = self.resources.now_ms()
        if abs(now_ms - self._warned_ms) >= WARNING_INTERVAL_MS:
            self._warned_ms = now_ms
            _log.warning("%s: batches are refused: %s", self.directory, error)
        return _storage_error(f"the batch was not written: {error}")

    def roll(self) -> None:
        """Seal the active segment and begin a new one. Raises RequestError."""
        sealed = self.segments.active
        try:
            active = self.segments.roll()
        except OSError as error:
            raise _storage_error(f"a new segment cannot be made: {error}") from error
        self._syncing.sealed(sealed)
        next_offset = self.tail[0]
        if self.readable[0] == next_offset:
            self.readable = (next_offset, active, 0)
        self.tail = (next_offset, active, 0)
        self.checkpoint_soon()

    # Durability

    def wait_for_round(self, done: AppendDone) -> None:
        """Call `done`, of nothing appended, when a round has made all durable that is here now."""
        nowhere = Appended(-1, -1, -1, self.start_offset, False)
        self._waiting.append((self.tail[0], done, nowhere))

    async def durable(self) -> None:
        """Wait until what has been appended by now is on the disk. Raises RequestError."""
        if self.failed:
            self.check()
        await self._syncing.durable()

    def advance(self, tail: Tail) -> None:
        """The high watermark is at `tail`: answer those who waited for it."""
        self.readable = self.tail if tail[0] == self.tail[0] else tail
        high_watermark = tail[0]
        self.producer_table.transactions.readable_to(high_watermark)
        waiting = self._waiting
        while waiting and waiting[0][0] <= high_watermark:
            _, done, appended = waiting.popleft()
            done(appended)
        if self._watchers:
            self._tell_watchers()
        if tail[1].start_bytes + tail[2] - self.saved_bytes >= upkeep.CHECKPOINT_BYTES:
            self.checkpoint_soon()

    def checkpoint_soon(self) -> None:
        if self._checkpointing is None or self._checkpointing.done():
            self._checkpointing = self.resources.loop.create_task(
                upkeep.checkpoint_in_background(self)
            )

    def go_offline(self, reason: str) -> None:
        """An I/O error that cannot be taken back: nothing is acknowledged or read any more."""
        if not self.failed:
            self.failed = True
            _log.error("%s", reason)
            self.refuse(ErrorCode.KAFKA_STORAGE_ERROR, reason)

    def refuse(self, code: ErrorCode, reason: str) -> None:
        """From now on every call is refused, and so is every append not answered yet.

        What was written and could not be synced may be there after the next start. A client that
        hears KAFKA_STORAGE_ERROR takes it for not written, and may give its sequence to other
        records; NOT_ENOUGH_REPLICAS_AFTER_APPEND says that it is in doubt."""
        self._refusal = code, reason
        waiting = list(self._waiting)
        self._waiting.clear()
        in_doubt = code
        if code is ErrorCode.KAFKA_STORAGE_ERROR:
            in_doubt = ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
        for _, done, appended in waiting:
            done(RequestError(in_doubt if appended.base_offset >= 0 else code, reason))
        self._tell_watchers()

    def is_usable(self) -> bool:
        """Neither closed nor offline."""
        return self._refusal is None

    def check(self) -> None:
        """Raises RequestError when the log cannot be used."""
        if self._refusal is not None:
            raise RequestError(*self._refusal)

    def is_saved(self) -> bool:
        """Whether the last checkpoint says how the log is now."""
        return self.saved == self.state_to_save(self.start_offset)

    def state_to_save(self, start_offset: int) -> tuple[int, int, int]:
        """What a checkpoint is for: start and end offset, and which segments are sealed, so that
        one that was sealed while nothing is written is listed too."""
        return start_offset, self.tail[0], self.segments.active.base_offset

    async def sync_rounds_over(self) -> None:
        """Wait until no flusher's thread works for this log."""
        await self._syncing.rounds_over()

    # Reading

    async def read(
        self, offset: int, size_bytes_max: int, *, at_least_one: bool, committed: bool = False
    ) -> Slice:
        self.check()
        readable = self.readable
        if not self.start_offset <= offset <= readable[0]:
            raise RequestError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"offset {offset} is not in {self.start_offset} to {readable[0]}",
            )
        unstable = self.producer_table.transactions.first_unstable
        if committed and unstable < readable[0]:
            if offset >= unstable:
                return EMPTY_SLICE
            readable = await self._reader.place_of(unstable, readable)
        if offset == readable[0]:
            return EMPTY_SLICE
        return await self._reader.read(offset, size_bytes_max, readable, at_least_one=at_least_one)

    def offsets(self) -> LogOffsets:
        self.check()
        start, high_watermark = self.start_offset, self.readable[0]
        last_stable = self.producer_table.transactions.first_unstable
        if last_stable >= high_watermark:
            last_stable = high_watermark
        elif last_stable < start:
            last_stable = start
        return LogOffsets(start, last_stable, high_watermark, self.tail[0])

    def committed_end(self) -> int:
        return self.producer_table.transactions.committed_end(self.offsets().last_stable)

    def aborted_between(self, start: int, end: int) -> Sequence[Aborted]:
        return self.producer_table.transactions.aborted_between(start, end)

    def readable_bytes_after(self, offset: int) -> int:
        return self._reader.bytes_between(max(offset, self.start_offset), self.readable)

    def notify(self, waiter: Callable[[], None]) -> Callable[[], None]:
        self._watchers_made += 1
        key = self._watchers_made
        self._watchers[key] = waiter

        def cancel() -> None:
            self._watchers.pop(key, None)

        return cancel

    def _tell_watchers(self) -> None:
        for watcher in tuple(self._watchers.values()):
            watcher()

    async def offset_for_time(self, timestamp_ms: int) -> TimestampedOffset | None:
        self.check()
        found = await self._reader.find_time(timestamp_ms, self.start_offset, self.readable)
        if found is None:
            return None
        return TimestampedOffset(found.timestamp_ms, found.offset, self.leader_epoch)

    # Keeping

    def producers(self) -> list[ProducerSnapshot]:
        return self.producer_table.snapshots()

    def last_batch(self, producer_id: int) -> LastBatch | None:
        return self.producer_table.last_batch(producer_id)

    def size_bytes(self) -> int:
        return self.segments.size_bytes

    def configure(self, config: LogConfig) -> None:
        self.config = config
        self._reader.interval_bytes = config.index_interval_bytes

    def start_moved(self, offset: int, dropped: list[Segment]) -> None:
        """The start is at `offset`; the `dropped` segments before it are no longer read."""
        self.start_offset = offset
        self.producer_table.transactions.forget_before(offset)
        newly = [segment for segment in dropped if not segment.dropped]
        self.segments.drop(newly)
        self.doomed += newly
        self._syncing.forget_dropped()
        for segment in dropped:
            self.resources.sealed.close(segment)
            segment.close_file()
        self._reader.forget()
        self._tell_watchers()

    def segments_replaced(self, sources: Sequence[Segment], segment: Segment) -> None:
        """`segment` is what compaction left of the sealed `sources`."""
        self.segments.replace(sources, segment)
        for source in sources:
            self.resources.sealed.close(source)
            source.close_file()
        self._reader.forget()

    async def delete_before(self, offset: int) -> int:
        self.check()
        return await asyncio.shield(upkeep.delete_before(self, offset))

    async def tidy(self, now_ms: int) -> int:
        self.check()
        return await asyncio.shield(upkeep.tidy(self, now_ms))

    def cleaning(self, now_ms: int) -> CleaningState | None:
        self.check()
        return self.compaction.state(now_ms) if self.config.compact else None

    async def clean(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        self.check()
        return await self.compaction.run(now_ms, map_bytes_max)

    async def close(self) -> None:
        await asyncio.shield(upkeep.close(self))


def _storage_error(message: str) -> RequestError:
    return RequestError(ErrorCode.KAFKA_STORAGE_ERROR, message)
