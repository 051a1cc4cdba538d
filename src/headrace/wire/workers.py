"""What the workers of one machine ask of each other, as bodies of the frames of their links.

All but one are messages like those of Kafka, in one version: workers are of one release, and a
link begins with the release that it speaks (`links.frames.VERSION`: count it up with any change
here). Records are not copied into a message; the body of APPEND is

    topic id   16 bytes
    partition  i32
    acks       i8
    follows    u8    1: an earlier batch of this producer is on its way
    batch      the rest: one record batch v2, as its producer sent it

and its answer, like that to MARKER, an `Appended`:

    base_offset, last_offset, log_append_time_ms, log_start_offset  i64 each
    duplicate  u8

Pure. What must not enter: who is asked, and what becomes of it.
"""

import struct
from enum import IntEnum
from typing import Final, TypeVar
from uuid import UUID

from headrace.wire.apis import BETWEEN_WORKERS
from headrace.wire.errors import MalformedError
from headrace.wire.schema import (
    array,
    boolean,
    decode,
    encode,
    int8,
    int16,
    int32,
    int64,
    message,
    string,
    uuid,
)
from headrace.wire.schema import struct as part

__all__ = [
    "APPENDED_BYTES",
    "Ask",
    "EndAsked",
    "EndGroup",
    "Ends",
    "EndsAsked",
    "Enter",
    "LastSequence",
    "LastSequences",
    "MarkerToWrite",
    "PartitionEnd",
    "PartitionProduced",
    "Position",
    "PositionAsked",
    "Produced",
    "ProducedAsked",
    "ProducersAsked",
    "ShareForget",
    "ShareGroupAsked",
    "ShareMember",
    "SharePlace",
    "SharePlaces",
    "ShareSet",
    "Tell",
    "append_head",
    "pack",
    "read_append_head",
    "read_appended",
    "unpack",
    "write_appended",
]

T = TypeVar("T")


class Ask(IntEnum):
    """Kinds of requests; 0 to 2 and 255 are the link's own."""

    TELL = 3
    """Something in the catalog has changed; answered, with nothing, when it is taken up."""
    APPEND = 4
    MARKER = 5
    LAST_SEQUENCES = 6
    """What of these producers the partition has; what was asked before it is in the answer."""
    END_GROUP = 7
    """A transaction has ended: the offsets that waited for it; answered with nothing."""
    ENTER = 8
    """Whether a transaction writes to a partition or group, which may be added to it now;
    answered, with nothing, when that is durable."""
    ENDS = 9
    """Where partitions end, and what time records in them are of."""
    POSITION = 10
    """Where a persistent stream goes on, all of it durable."""
    PRODUCED = 11
    """How many bytes producers handed in, of the partitions that the answering worker serves."""
    SHARE_CHECK = 12
    """Whether there is such a share group; answered with nothing."""
    SHARE_PLACES = 13
    """Where share groups are in the partitions of the answering worker."""
    SHARE_SET = 14
    """Share from another offset on; answered, with nothing, when that is durable."""
    SHARE_FORGET = 15
    """A share group has never read topics, or is gone; answered, with nothing, when that is so."""
    SHARE_LAPSED = 16
    """A member was given up: others may have what it holds; answered with nothing."""


_VERSION: Final = 0
_APPEND: Final = struct.Struct(">16sibB")
_APPENDED: Final = struct.Struct(">qqqqB")
APPENDED_BYTES: Final = _APPENDED.size


def append_head(topic_id: UUID, partition: int, acks: int, *, follows: bool) -> bytes:
    """What goes before the batch."""
    return _APPEND.pack(topic_id.bytes, partition, acks, follows)


def read_append_head(body: memoryview) -> tuple[UUID, int, int, bool, memoryview]:
    """Topic id, partition, acks, follows, and the batch. Raises MalformedError."""
    if len(body) < _APPEND.size:
        raise MalformedError("an append without a place")
    topic_id, partition, acks, follows = _APPEND.unpack_from(body)
    return UUID(bytes=topic_id), partition, acks, bool(follows), body[_APPEND.size :]


def write_appended(appended: tuple[int, int, int, int, bool]) -> bytes:
    return _APPENDED.pack(*appended)


def read_appended(body: bytes) -> tuple[int, int, int, int, bool]:
    """Raises MalformedError."""
    if len(body) != _APPENDED.size:
        raise MalformedError("no answer to an append")
    base, last, append_time_ms, log_start, duplicate = _APPENDED.unpack(body)
    return base, last, append_time_ms, log_start, bool(duplicate)


def pack(asked: object) -> bytes:
    """The body of any other message."""
    return encode(asked, _VERSION)


def unpack(cls: type[T], body: bytes | memoryview) -> T:
    """Raises MalformedError."""
    return decode(cls, _VERSION, body)


@message(BETWEEN_WORKERS, versions=(0, 0))
class Tell:
    change: int = int8()


@message(BETWEEN_WORKERS, versions=(0, 0))
class MarkerToWrite:
    topic_id: UUID | None = uuid()
    partition: int = int32()
    producer_id: int = int64()
    producer_epoch: int = int16()
    coordinator_epoch: int = int32()
    commit: bool = boolean()


@message(BETWEEN_WORKERS, versions=(0, 0))
class ProducersAsked:
    topic_id: UUID | None = uuid()
    partition: int = int32()
    producer_ids: list[int] = array(int64)


@part
class LastSequence:
    producer_id: int = int64()
    sequence: int = int32()


@message(BETWEEN_WORKERS, versions=(0, 0))
class LastSequences:
    """Of the producers that the partition knows."""

    known: list[LastSequence] = array(LastSequence)


@message(BETWEEN_WORKERS, versions=(0, 0))
class EndGroup:
    group_id: str = string()
    producer_id: int = int64()
    commit: bool = boolean()


@message(BETWEEN_WORKERS, versions=(0, 0))
class Enter:
    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    topic: str | None = string(nullable=0, default=None)
    """With `partition`, or else a group."""
    partition: int = int32()
    group_id: str | None = string(nullable=0, default=None)
    adds: bool = boolean()
    """It need not be in the transaction yet."""


@part
class EndAsked:
    topic_id: UUID | None = uuid()
    partition: int = int32()
    offset: int = int64(default=-1)
    """Of the record whose time is asked for; -1: none."""


@message(BETWEEN_WORKERS, versions=(0, 0))
class EndsAsked:
    partitions: list[EndAsked] = array(EndAsked)


@part
class PartitionEnd:
    """Offsets as in `log.contract`; nothing but the error is right if there is one."""

    error_code: int = int16()
    start: int = int64()
    last_stable: int = int64()
    high_watermark: int = int64()
    committed_end: int = int64()
    timestamp_ms: int = int64(default=-1)
    """Of the record that was asked for; -1 if it is not known."""


@message(BETWEEN_WORKERS, versions=(0, 0))
class Ends:
    """In the order of asking."""

    partitions: list[PartitionEnd] = array(PartitionEnd)


@message(BETWEEN_WORKERS, versions=(0, 0))
class PositionAsked:
    """With what the catalog has of it."""

    topic_id: UUID | None = uuid()
    partition: int = int32()
    stream_id: str = string()
    producer_id: int = int64()
    next_offset: int = int64()
    next_sequence: int = int32()


@message(BETWEEN_WORKERS, versions=(0, 0))
class Position:
    next_offset: int = int64()
    next_sequence: int = int32()


@message(BETWEEN_WORKERS, versions=(0, 0))
class ProducedAsked:
    topic_ids: list[UUID | None] = array(uuid)
    """All there are if it is empty."""


@part
class PartitionProduced:
    topic_id: UUID | None = uuid()
    partition: int = int32()
    size_bytes: int = int64()


@message(BETWEEN_WORKERS, versions=(0, 0))
class Produced:
    """Since the worker started; partitions of 0 bytes are left out."""

    partitions: list[PartitionProduced] = array(PartitionProduced)


@message(BETWEEN_WORKERS, versions=(0, 0))
class ShareGroupAsked:
    group_id: str | None = string(nullable=0, default=None)
    """None: all that the asking worker coordinates."""
    worker: int = int16(default=-1)
    """Who asks, if it asks for all."""


@part
class SharePlace:
    """`lag` as in `share_groups.SharedOffset`; `finished`: records behind the start that are done
    with."""

    group_id: str = string()
    topic_id: UUID | None = uuid()
    partition: int = int32()
    start_offset: int = int64()
    leader_epoch: int = int32()
    lag: int = int64()
    finished: int = int64()


@message(BETWEEN_WORKERS, versions=(0, 0))
class SharePlaces:
    places: list[SharePlace] = array(SharePlace)


@message(BETWEEN_WORKERS, versions=(0, 0))
class ShareSet:
    group_id: str = string()
    topic_id: UUID | None = uuid()
    partition: int = int32()
    start_offset: int = int64()


@message(BETWEEN_WORKERS, versions=(0, 0))
class ShareForget:
    group_id: str = string()
    topic_ids: list[UUID | None] = array(uuid)
    """All, and the group itself, if it is empty."""


@message(BETWEEN_WORKERS, versions=(0, 0))
class ShareMember:
    group_id: str = string()
    member_id: str = string()
