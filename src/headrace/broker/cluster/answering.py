"""What the other workers may ask of this one, and who answers it.

Nobody is trusted to know what is served here: a partition, group or transactional id of another
worker is refused, as a client is.
What must not enter: sockets, how a request is carried out.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from headrace.broker.changes import Changes
from headrace.broker.cluster.links import socket_path
from headrace.broker.cluster.peers import Change
from headrace.broker.record_time import record_time_ms
from headrace.broker.streams.recovery import Known, recovered_position
from headrace.broker.transaction_entry import enter
from headrace.links.listener import Answer, LinkListener
from headrace.log.contract import Appended, PartitionLog
from headrace.transactions.record import ProducerIdentity, TopicPartition
from headrace.wire.batch import HEADER_BYTES, peek
from headrace.wire.errors import ErrorCode, MalformedError, RequestError
from headrace.wire.markers import Marker
from headrace.wire.primitives import ENTRIES_MAX
from headrace.wire.workers import (
    Ask,
    EndGroup,
    Ends,
    EndsAsked,
    Enter,
    LastSequence,
    LastSequences,
    MarkerToWrite,
    PartitionEnd,
    PartitionProduced,
    Position,
    PositionAsked,
    Produced,
    ProducedAsked,
    ProducersAsked,
    Tell,
    pack,
    read_append_head,
    unpack,
    write_appended,
)

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topic import Partition

__all__ = ["Answering"]

PARTITIONS_PER_TURN_MAX: Final = 128
"""Partitions looked at before the event loop gets its turn."""
_DONE: Final = b""

log = logging.getLogger("headrace.broker")


class Answering:
    """One for a worker, from when it is open until it closes."""

    def __init__(self, broker: "Broker", directory: str) -> None:
        self._broker = broker
        self._changes = Changes()
        path = socket_path(directory, broker.ownership.index)
        self._listener = LinkListener(path, self._serve)
        self._at_once: dict[int, Callable[[memoryview, Answer], None]] = {
            Ask.APPEND: self._append,
            Ask.MARKER: self._marker,
            Ask.LAST_SEQUENCES: self._last_sequences,
        }
        self._in_time: dict[int, Callable[[memoryview], Coroutine[Any, Any, bytes]]] = {
            Ask.TELL: self._tell,
            Ask.END_GROUP: self._end_group,
            Ask.ENTER: self._enter,
            Ask.ENDS: self._ends,
            Ask.POSITION: self._position,
            Ask.PRODUCED: self._produced,
            **(broker.share_elsewhere.answers() if broker.share_elsewhere is not None else {}),
        }

    async def open(self) -> None:
        """Raises OSError."""
        await self._listener.open()

    async def close(self) -> None:
        """What is being carried out goes on to its end, unheard. Idempotent."""
        await self._listener.close()
        await self._changes.wait()

    def _serve(self, peer: int, kind: int, body: memoryview, answer: Answer) -> None:
        at_once = self._at_once.get(kind)
        if at_once is not None:
            at_once(body, answer)
            return
        in_time = self._in_time.get(kind)
        if in_time is None:
            raise MalformedError(f"a request of kind {kind}")
        self._changes.start(self._carry_out(in_time(memoryview(bytes(body))), answer))

    async def _carry_out(self, request: Coroutine[Any, Any, bytes], answer: Answer) -> None:
        try:
            answer(await request)
        except RequestError as error:
            answer(error)
        except ValueError as error:  # MalformedError, or a word that is none
            answer(RequestError(ErrorCode.INVALID_REQUEST, str(error)))
        except Exception as error:
            log.exception("a request of another worker failed")
            answer(RequestError(ErrorCode.UNKNOWN_SERVER_ERROR, repr(error)))

    # Partitions

    def _partition(self, topic_id: UUID | None, index: int) -> "Partition":
        """Raises RequestError NOT_LEADER_OR_FOLLOWER, also for one that is not known: who asks
        knows it, so it was just made or just deleted, and the news is on its way."""
        topic = self._broker.topics.by_id.get(topic_id) if topic_id is not None else None
        if topic is None or not 0 <= index < len(topic.partitions):
            self._changes.start(self._catch_up())
            raise RequestError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER,
                f"partition {index} of topic {topic_id} is not known to its worker",
            )
        found = topic.partitions[index]
        if not found.is_mine:
            raise RequestError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER, f"{topic.name}-{index} is another worker's"
            )
        return found

    async def _catch_up(self) -> None:
        with contextlib.suppress(RequestError):  # who asks asks again
            await self._broker.take_up(Change.TOPICS)

    def _append(self, body: memoryview, answer: Answer) -> None:
        topic_id, index, acks, follows, batch = read_append_head(body)
        if len(batch) < HEADER_BYTES:
            raise MalformedError("an append without a batch")
        partition = self._partition(topic_id, index)
        if follows and partition.log.last_batch(peek(batch).producer_id) is None:
            raise RequestError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "the batch before it was not written"
            )
        partition.log.append(batch, acks, lambda outcome: _tell_appended(answer, outcome))
        partition.produced_bytes += len(batch)
        partition.topic.traffic.produced_batches += 1

    def _marker(self, body: memoryview, answer: Answer) -> None:
        asked = unpack(MarkerToWrite, body)
        partition = self._partition(asked.topic_id, asked.partition)
        self._broker.transactional_appends.ended(
            asked.producer_id, partition.topic.name, partition.index
        )
        marker = Marker(
            asked.producer_id, asked.producer_epoch, asked.coordinator_epoch, asked.commit
        )
        partition.log.append_marker(marker, lambda outcome: _tell_appended(answer, outcome))

    def _last_sequences(self, body: memoryview, answer: Answer) -> None:
        asked = unpack(ProducersAsked, body)
        partition = self._partition(asked.topic_id, asked.partition)
        partition.log.offsets()  # which raises if it is offline
        found = [(id_, partition.log.last_batch(id_)) for id_ in asked.producer_ids]
        known = [LastSequence(id_, last.last_sequence) for id_, last in found if last is not None]
        answer(pack(LastSequences(known)))

    # What takes its time

    async def _tell(self, body: memoryview) -> bytes:
        asked = unpack(Tell, body)
        await self._broker.take_up(Change(asked.change))
        return _DONE

    async def _end_group(self, body: memoryview) -> bytes:
        asked = unpack(EndGroup, body)
        self._broker.entries.ended(asked.producer_id, asked.group_id)
        await self._broker.groups.end_transaction(
            asked.group_id, asked.producer_id, commit=asked.commit
        )
        return _DONE

    async def _enter(self, body: memoryview) -> bytes:
        asked = unpack(Enter, body)
        broker = self._broker
        if not broker.ownership.is_my_transaction(asked.transactional_id):
            raise RequestError(
                ErrorCode.NOT_COORDINATOR, f"{asked.transactional_id!r} is another worker's"
            )
        place: TopicPartition | str = asked.group_id or ""
        if asked.topic is not None:
            place = asked.topic, asked.partition
            if not broker.topics.has_partition(*place):  # or its marker would go nowhere
                code = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
                raise RequestError(code, f"{asked.topic}-{asked.partition} is not known yet")
        producer = ProducerIdentity(asked.producer_id, asked.producer_epoch)
        await enter(broker.transactions, asked.transactional_id, producer, place, adds=asked.adds)
        return _DONE

    async def _ends(self, body: memoryview) -> bytes:
        found = []
        for count, asked in enumerate(unpack(EndsAsked, body).partitions, start=1):
            if count % PARTITIONS_PER_TURN_MAX == 0:
                await asyncio.sleep(0)
            try:
                partition = self._partition(asked.topic_id, asked.partition)
                start, last_stable, high_watermark, _ = partition.log.offsets()
                end = partition.log.committed_end()
            except RequestError as error:
                found.append(PartitionEnd(error.code))
                continue
            time_ms = -1
            if asked.offset >= 0:
                time_ms = await record_time_ms(partition, asked.offset)
            found.append(PartitionEnd(0, start, last_stable, high_watermark, end, time_ms))
        return pack(Ends(found))

    async def _position(self, body: memoryview) -> bytes:
        asked = unpack(PositionAsked, body)
        partition = self._partition(asked.topic_id, asked.partition)
        await _all_readable(partition.log)
        known = Known(asked.stream_id, asked.producer_id, asked.next_offset, asked.next_sequence)
        found = await recovered_position(partition.log, known)
        return pack(Position(*found))

    async def _produced(self, body: memoryview) -> bytes:
        asked = unpack(ProducedAsked, body)
        topics = self._broker.topics.by_id
        found = []
        for count, topic_id in enumerate(asked.topic_ids or list(topics), start=1):
            if count % PARTITIONS_PER_TURN_MAX == 0:
                await asyncio.sleep(0)
            topic = topics.get(topic_id) if topic_id is not None else None
            found += [
                PartitionProduced(topic_id, partition.index, partition.produced_bytes)
                for partition in (topic.partitions if topic is not None else ())
                if partition.is_mine and partition.produced_bytes
            ]
        return pack(Produced(found[:ENTRIES_MAX]))


async def _all_readable(log: PartitionLog) -> None:
    """Wait until what is in the log now is durable. Raises RequestError if it goes offline."""
    end = log.offsets().end
    moved = asyncio.Event()
    cancel = log.notify(moved.set)
    try:
        while log.offsets().high_watermark < end:
            await moved.wait()
            moved.clear()
    finally:
        cancel()


def _tell_appended(answer: Answer, outcome: Appended | RequestError) -> None:
    answer(outcome if isinstance(outcome, RequestError) else write_appended(outcome))
