"""Records that an ingest stream brought and its topic does not take, set aside durably.

A topic that has its records checked (`headrace.ingest.validation`) may name a topic for the bad
ones (`headrace.ingest.dead.letter.topic`); without one a bad record ends its stream. Such a dead
letter has the record's bytes as its value, no key, the time of its writing, and as headers, in
UTF-8:

    __dlq.errors.topic            where the record was to go
    __dlq.errors.stream           the stream's id,
    __dlq.errors.stream.offset    the offset of its message there, in decimal digits,
    __dlq.errors.stream.index     and its place among the message's records, from 0
    __dlq.errors.message          what is wrong with it

It is durable before its message is acknowledged. Where it goes to is subject to the same rules as
the dead-letter topics of share groups (`dead_letter_topic`).

What must not enter: what makes a record bad.
"""

import asyncio
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from headrace.broker.append import ACKS_ALL, Appended, append
from headrace.broker.dead_letter_topic import NoDeadLetterTopic, dead_letter_topic
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.produce import PartitionBatch
from headrace.wire.records import BatchBuilder, Record

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["BadRecord", "set_aside"]


class BadRecord(NamedTuple):
    value: bytes | memoryview
    offset: int
    """Of its message in the stream."""
    place: int
    """Among that message's records."""
    why: str


async def set_aside(
    broker: "Broker", into: str, source: str, stream_id: str, records: Iterable[BadRecord]
) -> None:
    """Write `records` of the topic `source` to the topic `into`; durable on return. All of a call
    go to one partition, in order.

    Raises RequestError: INVALID_CONFIG for a topic that cannot take them, MESSAGE_TOO_LARGE, and
    what the log raises. What was written before is written then.
    """
    try:
        topic = await dead_letter_topic(broker, into, source)
    except NoDeadLetterTopic as error:
        raise RequestError(
            ErrorCode.INVALID_CONFIG, f"dead letters of {source!r}: {error}"
        ) from None
    size_bytes_max = min(topic.config.max_message_bytes, topic.config.log.segment_bytes)
    partition = zlib.crc32(stream_id.encode()) % len(topic.partitions)
    builder = BatchBuilder(size_bytes_max)
    for record in records:
        letter = _letter(source, stream_id, record, broker.now_ms())
        if builder.add(letter):
            continue
        if builder.records_count:
            await _append(broker, topic.name, partition, builder)
            builder = BatchBuilder(size_bytes_max)
        if not builder.add(letter):
            why = f"a dead letter is larger than {into!r} takes (max.message.bytes)"
            raise RequestError(ErrorCode.MESSAGE_TOO_LARGE, why)
    if builder.records_count:
        await _append(broker, topic.name, partition, builder)


def _letter(source: str, stream_id: str, record: BadRecord, now_ms: int) -> Record:
    told = (
        ("__dlq.errors.topic", source),
        ("__dlq.errors.stream", stream_id),
        ("__dlq.errors.stream.offset", str(record.offset)),
        ("__dlq.errors.stream.index", str(record.place)),
        ("__dlq.errors.message", record.why),
    )
    headers = tuple((name, text.encode("utf-8", "replace")) for name, text in told)
    return Record(-1, now_ms, None, bytes(record.value), headers)


async def _append(broker: "Broker", topic: str, partition: int, builder: BatchBuilder) -> None:
    """Durable on return. Raises RequestError."""
    appended: asyncio.Future[Appended | RequestError] = asyncio.get_running_loop().create_future()

    def done(outcome: Appended | RequestError) -> None:
        if not appended.done():
            appended.set_result(outcome)

    batch = PartitionBatch(topic, partition, memoryview(builder.build()))
    append(broker, batch, ACKS_ALL, done, anywhere=True)
    outcome = await appended
    if isinstance(outcome, RequestError):
        raise outcome
