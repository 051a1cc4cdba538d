"""Ingest streams as rows: persistent ones, and the partitions that none is routed to. The SQL and
nothing else.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from headrace.catalog.writer import Writer
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["PersistentStreamRow", "StreamRows"]

_SELECT: Final = (
    "SELECT stream_id, topic_id, partition, producer_id, record_type, next_offset, next_sequence,"
    " created_ms, retired_ms FROM persistent_streams"
)


@dataclass(slots=True)
class PersistentStreamRow:
    stream_id: str
    topic_id: UUID
    partition: int
    producer_id: int
    record_type: str
    next_offset: int
    """In messages."""
    next_sequence: int
    """In records, wrapped as in the log."""
    created_ms: int
    retired_ms: int | None = None


class StreamRows:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def insert(self, row: PersistentStreamRow, rows_max: int, retired_before_ms: int) -> None:
        """If there are `rows_max` already, those retired before then make room.

        Raises RequestError: POLICY_VIOLATION if that is not enough, UNKNOWN_TOPIC_OR_PARTITION if
        the topic was deleted.
        """
        values = (*_values(row), row.retired_ms)

        def change(db: sqlite3.Connection) -> None:
            (count,) = db.execute("SELECT count(*) FROM persistent_streams").fetchone()
            if count >= rows_max:
                deleted = db.execute(
                    "DELETE FROM persistent_streams WHERE retired_ms < ?", (retired_before_ms,)
                )
                count -= deleted.rowcount
            if count >= rows_max:
                raise RequestError(
                    ErrorCode.POLICY_VIOLATION, f"there are {count} persistent streams already"
                )
            try:
                db.execute(
                    "INSERT INTO persistent_streams VALUES (?,?,?,?,?,?,?,?,?)",
                    values,
                )
            except sqlite3.IntegrityError as error:
                raise RequestError(
                    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted"
                ) from error

        await self._writer.run(change)

    async def get(self, stream_id: str) -> PersistentStreamRow | None:
        def change(db: sqlite3.Connection) -> PersistentStreamRow | None:
            found = db.execute(_SELECT + " WHERE stream_id = ?", (stream_id,)).fetchone()
            return None if found is None else _row(found)

        return await self._writer.run(change)

    async def page(self, after: str, rows_max: int) -> list[PersistentStreamRow]:
        """Those that are not retired and whose ids come after `after`, in their order."""

        def change(db: sqlite3.Connection) -> list[PersistentStreamRow]:
            rows = db.execute(
                _SELECT + " WHERE stream_id > ? AND retired_ms IS NULL ORDER BY stream_id LIMIT ?",
                (after, rows_max),
            )
            return [_row(found) for found in rows]

        return await self._writer.run(change)

    async def save(self, positions: Iterable[tuple[str, int, int]]) -> None:
        """Where streams are: (stream id, next offset, next sequence) each, in one commit."""
        rows = [(offset, sequence, stream_id) for stream_id, offset, sequence in positions]

        def change(db: sqlite3.Connection) -> None:
            db.executemany(
                "UPDATE persistent_streams SET next_offset = ?, next_sequence = ?"
                " WHERE stream_id = ?",
                rows,
            )

        await self._writer.run(change)

    async def retire(self, stream_id: str, now_ms: int) -> None:
        """End it for good; the row stays until its room is needed."""

        def change(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE persistent_streams SET retired_ms = ? WHERE stream_id = ?",
                (now_ms, stream_id),
            )

        await self._writer.run(change)

    async def retired_partitions(self) -> list[tuple[UUID, int]]:
        def change(db: sqlite3.Connection) -> list[tuple[UUID, int]]:
            rows = db.execute("SELECT topic_id, partition FROM retired_partitions")
            return [(UUID(topic_id), partition) for topic_id, partition in rows]

        return await self._writer.run(change)

    async def retire_partition(self, topic_id: UUID, partition: int, now_ms: int) -> None:
        """Of a topic that was deleted meanwhile nothing is kept."""

        def change(db: sqlite3.Connection) -> None:
            db.execute(
                "REPLACE INTO retired_partitions SELECT id, ?, ? FROM topics WHERE id = ?",
                (partition, now_ms, topic_id.hex),
            )

        await self._writer.run(change)

    async def reopen_partitions(self, topic_id: UUID, partitions: Iterable[int]) -> None:
        rows = [(topic_id.hex, partition) for partition in partitions]

        def change(db: sqlite3.Connection) -> None:
            db.executemany(
                "DELETE FROM retired_partitions WHERE topic_id = ? AND partition = ?", rows
            )

        await self._writer.run(change)


def _values(row: PersistentStreamRow) -> tuple[object, ...]:
    return (
        *(row.stream_id, row.topic_id.hex, row.partition, row.producer_id, row.record_type),
        *(row.next_offset, row.next_sequence, row.created_ms),
    )


def _row(found: tuple[str, str, int, int, str, int, int, int, int | None]) -> PersistentStreamRow:
    return PersistentStreamRow(found[0], UUID(found[1]), *found[2:])
