"""One open stream: messages in, record batches into one partition's log, durability out.

A batch carries the stream's producer id and the sequence of its first record, counted from 0 and
without gaps. Nothing else is added, with one exception: the last record of a batch of a persistent
stream has the header OFFSET_HEADER, the offset of the message that it ends, where that is not the
record's sequence (a message of several records came before, or the sequence has wrapped). So the
stream's last committed offset can always be read from the log.

The epoch is always 0: one process owns a stream, and a connection that was taken over is refused
here, before it reaches the log.
What must not enter: which partition, who may open how many (`ingest`), offsets on the wire.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from headrace.broker.streams.contract import STREAM_IN_FLIGHT_BYTES_MAX, StreamOwner, StreamView
from headrace.broker.streams.flow import Flow
from headrace.broker.streams.lanes import Lane
from headrace.broker.streams.pieces import pieces_of
from headrace.log.contract import ACKS_ALL, Appended
from headrace.wire.batch import HEADER_BYTES
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.packing import RECORD_OVERHEAD_BYTES_MAX, Buffer, pack_records, pack_values
from headrace.wire.records import Record, record_bytes_max

__all__ = ["OFFSET_HEADER", "IngestStream", "Position", "StreamKind"]

OFFSET_HEADER: Final = "headrace.stream.offset"
"""Its value is the offset in decimal digits."""

_SEQUENCE_MASK: Final = 0x7FFF_FFFF
_MARK_BYTES_MAX: Final = 64


class StreamKind(NamedTuple):
    """Who a stream is, apart from where it is."""

    stream_id: str
    producer_id: int
    client: str
    record_type: str
    persistent: bool
    opened_ms: int


class Position(NamedTuple):
    """Where a stream goes on."""

    next_offset: int = 0
    """In messages."""
    next_sequence: int = 0
    """In records, wrapped as in the log."""


class IngestStream:
    """Made by `IngestStreams`; used by one door, on the loop's thread."""

    def __init__(
        self,
        kind: StreamKind,
        lane: Lane,
        owner: StreamOwner,
        position: Position,
        flow: Flow,
        now_ms: Callable[[], int],
        closed: "Callable[[IngestStream], None]",
    ) -> None:
        self.kind = kind
        self.id = kind.stream_id
        self.lane = lane
        self.next_offset = position.next_offset
        """Offset of the next message: as many as were taken."""
        self.next_sequence = position.next_sequence
        self.durable_messages = position.next_offset
        """As many, from offset 0 on, are durable; the last committed offset is one less."""
        self.durable_sequence = position.next_sequence
        """What follows the last record of those. What became of a batch that failed nobody knows:
        it counts as `next_sequence`, not here."""
        self.records = 0
        self.bytes = 0
        self.in_flight_bytes = 0
        self.is_closing = False
        self.refusal: RequestError | None = None
        """Why nothing more is taken."""
        self._owner: StreamOwner | None = owner
        self._flow = flow
        self._now_ms = now_ms
        self._closed = closed
        self._is_waiting = False
        self._drained: asyncio.Future[None] | None = None
        self._settling: asyncio.Future[None] | None = None
        self._is_closed = False

    # What doors use

    @property
    def topic(self) -> str:
        return self.lane.partition.topic.name

    @property
    def partition(self) -> int:
        return self.lane.partition.index

    @property
    def is_behind(self) -> bool:
        """Too much of this stream, or of all streams, is not durable yet: stop reading until
        `StreamOwner.caught_up`, which will be called if this was True."""
        if self.in_flight_bytes < STREAM_IN_FLIGHT_BYTES_MAX and not self._flow.is_full:
            return False
        self._is_waiting = True
        self._flow.wait(self._maybe_caught_up)
        return True

    def append(self, values: Sequence[Buffer], counts: Sequence[int] | None = None) -> None:
        """Append records that are nothing but values, at this moment's time; the values' bytes are
        not kept. `counts`: how many of them each message has, where that is not one; may be 0
        unless the stream is persistent.

        Raises RequestError, and nothing of the values is appended: MESSAGE_TOO_LARGE,
        INVALID_RECORD, or why the stream failed before. A KAFKA_STORAGE_ERROR or what else the log
        refuses ends the stream, and may come when a part is written; `failed` is not called then.
        """
        lengths = [*map(len, values)]
        sizes = [length + RECORD_OVERHEAD_BYTES_MAX for length in lengths]
        begun = self.next_offset
        for start, stop, messages in self._pieces(sizes, counts):
            last = self._marked(values[stop - 1], begun + messages - 1, stop - start)
            end = stop if last is None else stop - 1
            batch = pack_values(
                *(values[start:end], lengths[start:end], self._now_ms(), self._producer, last)
            )
            self._write(batch, stop - start, begun + messages)
        self._all_taken(begun + (len(values) if counts is None else len(counts)))

    def append_records(
        self, records: Sequence[Record], counts: Sequence[int] | None = None
    ) -> None:
        """The same for records with keys, headers, and times (-1: now) of their own; offsets are
        not looked at. Slower: some microseconds a record."""
        begun = self.next_offset
        for start, stop, messages in self._pieces([*map(record_bytes_max, records)], counts):
            piece = records[start:stop]
            last = self._marked(b"", begun + messages - 1, stop - start)
            if last is not None:
                headers = (*piece[-1].headers, *last.headers)
                piece = [*piece[:-1], piece[-1]._replace(headers=headers)]
            batch = pack_records(piece, self._now_ms(), self._producer)
            self._write(batch, stop - start, begun + messages)
        self._all_taken(begun + (len(records) if counts is None else len(counts)))

    async def drain(self) -> None:
        """Wait until all that was appended is durable. Raises RequestError if it cannot be."""
        if self.in_flight_bytes and self.refusal is None:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        if self.refusal is not None and self.durable_messages < self.next_offset:
            raise self.refusal

    def close(self) -> None:
        """The producer is gone, or done: the owner hears nothing more. What was appended goes on to
        the disk. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._owner = None
            if self.refusal is None:
                self.refusal = RequestError(
                    ErrorCode.NOT_LEADER_OR_FOLLOWER, "the stream is closed"
                )
            self._flow.forget(self._maybe_caught_up)
            self._settle()
            self._closed(self)

    # What the broker uses

    @property
    def bytes_per_s(self) -> float:
        """On average since it was opened."""
        return self.bytes * 1000 / max(self._now_ms() - self.kind.opened_ms, 1)

    @property
    def is_settled(self) -> bool:
        """Nothing is under way: what is durable is all there is."""
        return not self.in_flight_bytes

    async def settled(self) -> None:
        """Wait until the outcome of all that was appended is known."""
        while self.in_flight_bytes:
            if self._settling is None:
                self._settling = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._settling)

    def ask_to_close(self, grace_ms: int) -> None:
        """Once; the caller sees to it that the grace ends."""
        if self._owner is not None and not self.is_closing and self.refusal is None:
            self.is_closing = True
            self._owner.close_asked(grace_ms)

    def fail(self, error: RequestError) -> None:
        """Take nothing more, and tell the owner, once."""
        if self.refusal is None:
            self.refusal = error
            owner, self._owner = self._owner, None
            self._settle()
            if owner is not None:
                owner.failed(error)

    def view(self) -> StreamView:
        kind = self.kind
        return StreamView(
            *(self.id, self.topic, self.partition, kind.producer_id, 0, kind.client),
            *(kind.record_type, kind.persistent, kind.opened_ms),
            *(self.next_offset, self.durable_messages, self.records, self.bytes),
            self.in_flight_bytes,
            self.in_flight_bytes >= STREAM_IN_FLIGHT_BYTES_MAX,
            self.is_closing,
        )

    # Appending

    @property
    def _producer(self) -> tuple[int, int, int]:
        return self.kind.producer_id, 0, self.next_sequence

    def _pieces(
        self, sizes: list[int], counts: Sequence[int] | None
    ) -> "Sequence[tuple[int, int, int]]":
        if self.refusal is not None:
            raise self.refusal
        config = self.lane.partition.topic.config
        room = min(config.max_message_bytes, config.log.segment_bytes) - HEADER_BYTES
        if self.kind.persistent:
            room -= _MARK_BYTES_MAX
        return pieces_of(sizes, counts, room, whole=self.kind.persistent)

    def _marked(self, value: Buffer, offset: int, records: int) -> Record | None:
        """The last of `records`, as OFFSET_HEADER wants it; None if it does not need one."""
        sequence = (self.next_sequence + records - 1) & _SEQUENCE_MASK
        if not self.kind.persistent or sequence == offset:
            return None
        return Record(value=bytes(value), headers=((OFFSET_HEADER, str(offset).encode()),))

    def _write(self, batch: bytearray, records: int, messages: int) -> None:
        """One batch, after which `messages` of the stream are whole."""
        size = len(batch)
        partition = self.lane.partition
        self.in_flight_bytes += size
        self.lane.in_flight_bytes += size
        self._flow.began(size)
        before = self.next_sequence, self.next_offset
        self.next_sequence = (self.next_sequence + records) & _SEQUENCE_MASK
        done = partial(self._written, messages, self.next_sequence, size, time.monotonic())
        self.next_offset = messages
        self.records += records
        self.bytes += size
        try:
            partition.log.append(memoryview(batch), ACKS_ALL, done)
        except RequestError as error:
            self._ended(size)
            self.next_sequence, self.next_offset = before
            self.refusal = error
            self._settle()
            raise
        if partition.is_mine:  # its owner counts what is another's
            partition.produced_bytes += size
            partition.topic.traffic.produced_batches += 1
        self._flow.counted(records, size)

    def _all_taken(self, messages: int) -> None:
        """Messages without records at the end are durable with what came before them."""
        self.next_offset = messages
        if not self.in_flight_bytes:
            self._durable(messages)

    def _written(
        self,
        messages: int,
        sequence: int,
        size: int,
        began_s: float,
        outcome: Appended | RequestError,
    ) -> None:
        self._ended(size)
        if isinstance(outcome, RequestError):
            self.fail(outcome)
            return
        self._flow.ack_latency.observe(time.monotonic() - began_s)
        self.durable_sequence = sequence
        if not self.in_flight_bytes and self.refusal is None:
            messages = max(messages, self.next_offset)
        self._durable(messages)
        self._settle()

    def _durable(self, messages: int) -> None:
        if messages > self.durable_messages:
            self.durable_messages = messages
            if self._owner is not None:
                self._owner.durable(messages)

    def _ended(self, size: int) -> None:
        self.in_flight_bytes -= size
        self.lane.in_flight_bytes -= size
        self._flow.ended(size)
        if self._settling is not None and not self.in_flight_bytes:
            self._settling.set_result(None)
            self._settling = None

    def _settle(self) -> None:
        if self._is_waiting:
            self._maybe_caught_up()
        if self._drained is not None and (not self.in_flight_bytes or self.refusal is not None):
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    def _maybe_caught_up(self) -> None:
        """Called whenever this stream, or all together, may have caught up."""
        if (
            self._is_waiting
            and self._owner is not None
            and self.in_flight_bytes <= STREAM_IN_FLIGHT_BYTES_MAX // 2
            and self._flow.is_low
        ):
            self._is_waiting = False
            self._flow.forget(self._maybe_caught_up)
            self._owner.caught_up()
