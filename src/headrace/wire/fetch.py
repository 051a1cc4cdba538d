"""Fetch, read and written by hand: the answer's records stay in their file.

Request v4 to v18 (flexible from v12; topics by id from v13, KIP-516):

    replica_id i32 to v14 | max_wait_ms i32 | min_bytes i32 | max_bytes i32 | isolation_level i8
    session_id i32, session_epoch i32 from v7 (KIP-227)
    topics: array of (name or topic_id, partitions: array of
        (index i32, current_leader_epoch i32 from v9, fetch_offset i64, last_fetched_epoch i32 from
         v12, log_start_offset i64 from v5, partition_max_bytes i32))
    forgotten_topics from v7: array of (name or topic_id, partitions: array of i32)
    rack_id string from v11

Response:

    throttle_time_ms i32 | error_code i16, session_id i32 from v7
    responses: array of (name or topic_id, partitions: array of
        (index i32, error_code i16, high_watermark i64, last_stable_offset i64, log_start_offset i64
         from v5, aborted_transactions nullable array of (producer_id i64, first_offset i64),
         preferred_read_replica i32 from v11, records bytes))

Records are never null in an answer: some clients take null for a broken frame.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from headrace.wire.cursor import (
    check_count,
    check_end,
    classic_string,
    compact_string,
    read_uvarint,
    skip_tagged_fields,
    take,
    write_count,
    write_topic,
    write_uvarint,
)
from headrace.wire.errors import MalformedError

__all__ = [
    "TOPIC_ID_VERSION",
    "FetchRequest",
    "Known",
    "PartitionAnswer",
    "PartitionWant",
    "TopicRun",
    "read_fetch",
    "write_answer",
    "write_fetch",
]

TOPIC_ID_VERSION: Final = 13
_FLEXIBLE_VERSION: Final = 12
_TOPICS_MAX: Final = 100_000
_PARTITIONS_MAX: Final = 100_000
"""Of all topics together: a broker has no more, and each costs two thousand bytes here."""

_I32: Final = struct.Struct(">i")
_ABORTED: Final = struct.Struct(">qq")


class PartitionWant(NamedTuple):
    """Where one partition is to be read from; `topic` is a name, or an id from v13 on."""

    topic: str | UUID
    partition: int
    current_leader_epoch: int
    fetch_offset: int
    size_bytes_max: int


class TopicRun(NamedTuple):
    """Wants, or answers, from `start` to before `end` are of this topic."""

    topic: str | UUID
    start: int
    end: int


_Row = tuple[int, ...]
"""A partition's fields as they are on the wire."""


class Known(NamedTuple):
    """A topic as the request before had it: clients ask for the same again and again."""

    rows: list[_Row]
    wants: list[PartitionWant]


class FetchRequest(NamedTuple):
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    read_committed: bool
    session_id: int
    session_epoch: int
    wants: list[PartitionWant]
    runs: list[TopicRun]
    known: dict[str | UUID, Known]
    """For reading the next request of the same client."""


class PartitionAnswer(NamedTuple):
    """`size_bytes` of records follow the fields; they are sent from their file, not from here."""

    partition: int
    error_code: int
    high_watermark: int
    last_stable_offset: int
    log_start_offset: int
    size_bytes: int
    aborted: Sequence[tuple[int, int]] | None = None
    """(producer id, first offset); None for readers of uncommitted data."""


_NOTHING_KNOWN: Final[Mapping[str | UUID, Known]] = {}


def read_fetch(
    frame: memoryview,
    position: int,
    version: int,
    known: Mapping[str | UUID, Known] = _NOTHING_KNOWN,
) -> FetchRequest:
    """The request body that begins at `position`. With `known`, of the client's request before in
    the same version, wants that have not changed are the same objects. Raises MalformedError."""
    try:
        return _read(frame, position, version, known)
    except (struct.error, UnicodeDecodeError) as problem:
        raise MalformedError(f"Fetch v{version}: {problem}") from None


def _read(
    frame: memoryview, position: int, version: int, known: Mapping[str | UUID, Known]
) -> FetchRequest:
    flexible = version >= _FLEXIBLE_VERSION
    if version <= 14:
        position += 4
    max_wait_ms, min_bytes, max_bytes, isolation = struct.unpack_from(">iiib", frame, position)
    position += 13
    session_id, session_epoch = 0, -1
    if version >= 7:
        session_id, session_epoch = struct.unpack_from(">ii", frame, position)
        position += 8
    wants: list[PartitionWant] = []
    runs: list[TopicRun] = []
    knows: dict[str | UUID, Known] = {}
    count, position = _read_count(frame, position, flexible)
    check_count(count, _TOPICS_MAX)
    for _ in range(count):
        topic, position = _read_topic(frame, position, version)
        count, position = _read_count(frame, position, flexible)
        check_count(count, _PARTITIONS_MAX - len(wants))
        rows, position = _read_rows(frame, position, version, count)
        knows[topic] = now = Known(rows, _wants(topic, rows, version, known.get(topic)))
        runs.append(TopicRun(topic, len(wants), len(wants) + count))
        wants += now.wants
        if flexible:
            position = skip_tagged_fields(frame, position)
    if version >= 7:
        position = _skip_forgotten(frame, position, version)
    if version >= 11:
        read_string = compact_string if flexible else classic_string
        _, position = read_string(frame, position, nullable=True)
    if flexible:
        position = skip_tagged_fields(frame, position)
    check_end(frame, position)
    return FetchRequest(
        *(max_wait_ms, min_bytes, max_bytes, isolation == 1, session_id, session_epoch),
        *(wants, runs, knows),
    )


def _wants(
    topic: str | UUID, rows: list[_Row], version: int, before: Known | None
) -> list[PartitionWant]:
    if before is None or len(before.rows) != len(rows):
        return [_want(topic, row, version) for row in rows]
    if rows == before.rows:
        return before.wants
    return [
        want if row == old else _want(topic, row, version)
        for row, old, want in zip(rows, *before, strict=True)
    ]


def _want(topic: str | UUID, row: _Row, version: int) -> PartitionWant:
    if version < 9:
        return PartitionWant(topic, row[0], -1, row[1], row[-1])
    return PartitionWant(topic, row[0], row[1], row[2], row[-1])


def _read_rows(
    frame: memoryview, position: int, version: int, count: int
) -> tuple[list[_Row], int]:
    layout = _partition_layout(version)
    if version < _FLEXIBLE_VERSION:
        end = position + count * layout.size
        return list(layout.iter_unpack(take(frame, position, end - position))), end
    # Nearly always no partition has tagged fields: then each is as long as the others.
    size = layout.size + 1
    end = position + count * size
    section = frame[position:end]
    if len(section) == count * size and not any(section[layout.size :: size]):
        return list(_WITHOUT_TAGS.iter_unpack(section)), end
    rows = []
    for _ in range(count):
        rows.append(layout.unpack_from(frame, position))
        position = skip_tagged_fields(frame, position + layout.size)
    return rows, position


_WITHOUT_TAGS: Final = struct.Struct(">iiqiqix")
_LAYOUTS: Final = {
    4: struct.Struct(">iqi"),
    5: struct.Struct(">iqqi"),
    9: struct.Struct(">iiqqi"),
    12: struct.Struct(">iiqiqi"),
}


def _partition_layout(version: int) -> struct.Struct:
    first = 12 if version >= 12 else 9 if version >= 9 else 5 if version >= 5 else 4
    return _LAYOUTS[first]


def _read_topic(frame: memoryview, position: int, version: int) -> tuple[str | UUID, int]:
    if version >= TOPIC_ID_VERSION:
        return UUID(bytes=bytes(take(frame, position, 16))), position + 16
    read_string = compact_string if version >= _FLEXIBLE_VERSION else classic_string
    name, position = read_string(frame, position, nullable=False)
    return name or "", position


def _read_count(frame: memoryview, position: int, flexible: bool) -> tuple[int, int]:
    """An array's length; null counts as empty."""
    if flexible:
        count, position = read_uvarint(frame, position)
        return max(count - 1, 0), position
    (count,) = _I32.unpack_from(frame, position)
    return (0 if count == -1 else count), position + 4


def _skip_forgotten(frame: memoryview, position: int, version: int) -> int:
    """Forgotten topics belong to fetch sessions, which this broker does not open."""
    flexible = version >= _FLEXIBLE_VERSION
    count, position = _read_count(frame, position, flexible)
    check_count(count, _TOPICS_MAX)
    for _ in range(count):
        _, position = _read_topic(frame, position, version)
        partitions, position = _read_count(frame, position, flexible)
        check_count(partitions, _PARTITIONS_MAX)
        take(frame, position, 4 * partitions)
        position += 4 * partitions
        if flexible:
            position = skip_tagged_fields(frame, position)
    return position


def write_fetch(
    runs: Sequence[TopicRun],
    written: Sequence[bytes],
    sizes: Mapping[int, int],
    correlation_id: int,
    version: int,
    error_code: int = 0,
) -> list[bytes]:
    """The response frame without its records, cut where they belong.

    `written` are the answers from `write_answer`, in `runs` by topic; `sizes` says of which of
    them, ascending, how many bytes of records follow. Returns len(sizes) + 1 pieces: send piece 0,
    the first records, piece 1, ... and the last piece. The length prefix counts the records too.
    """
    flexible = version >= _FLEXIBLE_VERSION
    out = bytearray(4)
    out += _I32.pack(correlation_id)
    if flexible:
        out.append(0)
    out += _I32.pack(0)
    if version >= 7:
        out += struct.pack(">hi", error_code, 0)
    write_count(out, len(runs), flexible)
    pieces: list[bytes] = []
    cuts = [*sizes, len(written)]
    for topic, start, end in runs:
        write_topic(out, topic, flexible)
        write_count(out, end - start, flexible)
        while cuts[len(pieces)] < end:
            cut = cuts[len(pieces)] + 1
            out += b"".join(written[start:cut])
            pieces.append(bytes(out))
            out = bytearray(b"\0" if flexible else b"")
            start = cut
        out += b"".join(written[start:end])
        if flexible:
            out.append(0)
    if flexible:
        out.append(0)
    pieces.append(bytes(out))
    size = sum(map(len, pieces)) + sum(sizes.values()) - 4
    pieces[0] = _I32.pack(size) + pieces[0][4:]
    return pieces


def write_answer(answer: PartitionAnswer, version: int) -> bytes:
    """One partition's fields up to its records; all of it if there are none."""
    out = bytearray()
    _write_partition(out, answer, version)
    if version >= _FLEXIBLE_VERSION and not answer.size_bytes:
        out.append(0)
    return bytes(out)


def _write_partition(out: bytearray, answer: PartitionAnswer, version: int) -> None:
    index, error, high_watermark, last_stable, log_start, size, aborted = answer
    out += struct.pack(">ihqq", index, error, high_watermark, last_stable)
    if version >= 5:
        out += struct.pack(">q", log_start)
    if version >= _FLEXIBLE_VERSION:
        if aborted is None:
            out += b"\0\xff\xff\xff\xff"
        else:
            _write_aborted_flexible(out, aborted)
        write_uvarint(out, size + 1)
        return
    if aborted is None:
        out += b"\xff\xff\xff\xff"
    else:
        out += _I32.pack(len(aborted))
        for transaction in aborted:
            out += _ABORTED.pack(*transaction)
    if version >= 11:
        out += b"\xff\xff\xff\xff"
    out += _I32.pack(size)


def _write_aborted_flexible(out: bytearray, aborted: Sequence[tuple[int, int]]) -> None:
    """And that no other replica is to be read."""
    write_uvarint(out, len(aborted) + 1)
    for transaction in aborted:
        out += _ABORTED.pack(*transaction)
        out.append(0)
    out += b"\xff\xff\xff\xff"
