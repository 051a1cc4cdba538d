"""Committed offsets: where each group goes on reading. The SQL and nothing else; which commits are
allowed and when offsets expire is the group coordinator's business.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from headrace.catalog.writer import Writer

__all__ = ["CommittedOffset", "Offsets", "delete_offsets_of_topic"]


class CommittedOffset(NamedTuple):
    """One row. `offset` is the next one to read; `leader_epoch` is -1 if the client gave none."""

    group_id: str
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int


class Offsets:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def load_all(self) -> list[CommittedOffset]:
        def change(db: sqlite3.Connection) -> list[CommittedOffset]:
            rows = db.execute(
                'SELECT group_id, topic, partition, "offset", leader_epoch, metadata, committed_ms'
                " FROM committed_offsets ORDER BY group_id, topic, partition"
            )
            return [CommittedOffset(*row) for row in rows]

        return await self._writer.read(change)

    async def commit(
        self, group_id: str, offsets: Iterable[tuple[str, int, int, int, str]], now_ms: int
    ) -> None:
        """Durably set (topic, partition, offset, leader_epoch, metadata) for a group: all or none
        of the given ones."""
        rows = [(group_id, *offset, now_ms) for offset in offsets]

        def change(db: sqlite3.Connection) -> None:
            db.executemany("REPLACE INTO committed_offsets VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

        await self._writer.run(change)

    async def delete(self, group_id: str, pairs: Iterable[tuple[str, int]] | None = None) -> None:
        """Forget the offsets of these (topic, partition) pairs, or None: all of the group."""
        statement = "DELETE FROM committed_offsets WHERE group_id = ?"
        rows: list[tuple[str | int, ...]] = [(group_id,)]
        if pairs is not None:
            statement += " AND topic = ? AND partition = ?"
            rows = [(group_id, *pair) for pair in pairs]

        def change(db: sqlite3.Connection) -> None:
            db.executemany(statement, rows)

        await self._writer.run(change)

    async def delete_topic(self, topic: str) -> None:
        """Forget what any group committed for `topic`. Deleting a topic includes it."""
        await self._writer.run(lambda db: delete_offsets_of_topic(db, topic))


def delete_offsets_of_topic(db: sqlite3.Connection, topic: str) -> None:
    """As part of a larger change; also those of transactions that are not over."""
    db.execute("DELETE FROM committed_offsets WHERE topic = ?", (topic,))
    db.execute("DELETE FROM pending_offsets WHERE topic = ?", (topic,))
