"""What is asked of a share partition, what comes of it, and the bounds it keeps (KIP-932)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headrace.groups.dead_letter import DeadLetterReason
from headrace.groups.share_window import RecordState
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k78_share_fetch import AcquireMode

__all__ = [
    "Acknowledgement",
    "Acquire",
    "Acquired",
    "Condemned",
    "SharePartitionRecord",
    "ShareSettings",
    "ShareStep",
]


@dataclass(frozen=True, slots=True)
class ShareSettings:
    """Of one group; the names in brackets are those of its configuration."""

    lock_duration_ms: int = 30_000
    """share.record.lock.duration.ms"""
    delivery_count_max: int = 5
    """share.delivery.count.limit: a record that came back this often is not delivered again."""
    record_locks_max: int = 2000
    """share.partition.max.record.locks: records that are not finished, between the first such one
    and the last that was ever acquired. A hard bound, in every acquire mode."""
    may_renew: bool = True
    """share.renew.acknowledge.enable"""
    has_dead_letters: bool = False
    """Whether records that are given up are written somewhere before they count as finished."""


class Acquire(NamedTuple):
    """`member_id` wants records. The log was read over the offsets [read_from, read_to), and holds
    records in `batches` only, pairs of first and last offset in rising order; `read_from` lies
    within the window or at its end."""

    member_id: str
    read_from: int
    read_to: int
    batches: Sequence[tuple[int, int]]
    records_max: int
    mode: AcquireMode = AcquireMode.BATCH_OPTIMIZED
    """By batches, the last one may exceed `records_max`."""
    batch_size: int = 2**31 - 1
    """Runs that cross the border of a batch are cut there once they have this many records."""


class Acquired(NamedTuple):
    """Offsets, both inclusive, that are the member's now; `delivery_count` includes this time."""

    first: int
    last: int
    delivery_count: int


class Acknowledgement(NamedTuple):
    """`types` are AcknowledgeType, one for each offset of [first, last] or one for all."""

    first: int
    last: int
    types: Sequence[int]


class Condemned(NamedTuple):
    """Records to be written to the dead-letter topic; then `archived` is to be told."""

    first: int
    last: int
    delivery_count: int
    reason: DeadLetterReason


@dataclass(slots=True)
class ShareStep:
    """What a request did."""

    error: ErrorCode = ErrorCode.NONE
    """If there is one, nothing was changed."""
    message: str = ""
    must_persist: bool = False
    """The record of the partition must be durable before the request is answered; and there may
    be records now that can be acquired, or room for more."""
    condemned: tuple[Condemned, ...] = ()


class SharePartitionRecord(NamedTuple):
    """As after a restart. `runs` are (first, last, state, delivery count), end to end from
    `start_offset`; a record that was acquired is available, without the delivery that was under
    way, since its lock is gone with the process."""

    start_offset: int
    state_epoch: int
    runs: tuple[tuple[int, int, RecordState, int], ...]
