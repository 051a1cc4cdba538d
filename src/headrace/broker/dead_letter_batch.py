"""What a dead letter looks like: the record that a share group gave up, and why, as a record.

Headers as KIP-1191 names them, all of them text in UTF-8, behind those of the record itself:

    __dlq.errors.topic             where the record is: topic,
    __dlq.errors.partition         partition
    __dlq.errors.offset            and offset, in decimal digits
    __dlq.errors.group             the share group
    __dlq.errors.delivery.count    how often it was delivered, in decimal digits
    __dlq.errors.message           why it was given up (`groups.dead_letter`)

Where the record was a dead letter itself there are two of each, and the last ones count. Key, value
and headers are the record's own where the group copies records and the record could be read;
otherwise key and value are null. The timestamp is that of the dead letter's own writing: retention
of the dead-letter topic goes by it, and an old record would be deleted on arrival.

Pure. What must not enter: where records are read and batches are written (`dead_letters`).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from headrace.groups.dead_letter import DeadLetterReason
from headrace.wire.records import BatchBuilder, Record

__all__ = ["GivenUp", "Origin", "Packed", "pack"]


class Origin(NamedTuple):
    """What all dead letters of one sending have in common."""

    group_id: str
    topic: str
    partition: int
    reason: DeadLetterReason


class GivenUp(NamedTuple):
    """A record of the origin's partition."""

    offset: int
    delivery_count: int


class Packed(NamedTuple):
    """A batch with the dead letters of the first `records_count` records that were to be packed;
    `too_large` of them would not have fitted with their key and value, and are without."""

    batch: bytearray
    records_count: int
    too_large: int


def pack(
    origin: Origin,
    given_up: Iterable[GivenUp],
    originals: Mapping[int, Record],
    *,
    now_ms: int,
    size_bytes_max: int,
) -> Packed:
    """As many as fit into a batch of `size_bytes_max`, the first one in any case; at least one must
    be given. `originals` are by offset."""
    builder = BatchBuilder(size_bytes_max)
    too_large = 0
    for record in given_up:
        original = originals.get(record.offset)
        if builder.add(_letter(origin, record, original, now_ms)):
            continue
        if builder.records_count:
            break
        bare = _letter(origin, record, None, now_ms)
        if not builder.add(bare):  # whoever takes the batch says that it is too large
            builder = BatchBuilder(2**31 - 1)
            builder.add(bare)
            break
        too_large += 1
    return Packed(builder.build(), builder.records_count, too_large)


def _letter(origin: Origin, given_up: GivenUp, original: Record | None, now_ms: int) -> Record:
    told = (
        ("__dlq.errors.topic", origin.topic),
        ("__dlq.errors.partition", str(origin.partition)),
        ("__dlq.errors.offset", str(given_up.offset)),
        ("__dlq.errors.group", origin.group_id),
        ("__dlq.errors.delivery.count", str(given_up.delivery_count)),
        ("__dlq.errors.message", origin.reason.value),
    )
    copied = original or Record()
    headers = (*copied.headers, *((name, text.encode()) for name, text in told))
    return Record(-1, now_ms, copied.key, copied.value, headers)
