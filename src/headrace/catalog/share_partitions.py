"""How far each share group has shared which partition. The SQL and nothing else."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from headrace.catalog.writer import Writer

__all__ = ["SharePartitionRow", "SharePartitionRows", "delete_share_partitions_of_group"]


@dataclass(slots=True)
class SharePartitionRow:
    """A share partition as it must be after a restart."""

    group_id: str
    topic_id: UUID
    partition: int
    start_offset: int
    state_epoch: int
    runs: str
    """JSON, as the schema says."""


class SharePartitionRows:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def load_all(self) -> list[SharePartitionRow]:
        def change(db: sqlite3.Connection) -> list[SharePartitionRow]:
            rows = db.execute(
                "SELECT group_id, topic_id, partition, start_offset, state_epoch, runs"
                " FROM share_partitions ORDER BY group_id, topic_id, partition"
            )
            return [SharePartitionRow(row[0], UUID(row[1]), *row[2:]) for row in rows]

        return await self._writer.read(change)

    async def save(self, row: SharePartitionRow) -> None:
        """Durably write where the group is, replacing what was there. Of a topic that was deleted
        meanwhile nothing is kept."""
        values = (
            row.group_id,
            row.partition,
            row.start_offset,
            row.state_epoch,
            row.runs,
            row.topic_id.hex,
        )

        def change(db: sqlite3.Connection) -> None:
            db.execute(
                "REPLACE INTO share_partitions"
                " (group_id, topic_id, partition, start_offset, state_epoch, runs)"
                " SELECT ?1, id, ?2, ?3, ?4, ?5 FROM topics WHERE id = ?6",
                values,
            )

        await self._writer.run(change)

    async def delete(self, group_id: str, topic_ids: Iterable[UUID]) -> None:
        """Forget where the group is in these topics, in one commit."""
        rows = [(group_id, topic_id.hex) for topic_id in topic_ids]

        def change(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM share_partitions WHERE group_id = ? AND topic_id = ?", rows)

        await self._writer.run(change)

    async def delete_partitions(
        self, group_id: str, partitions: Iterable[tuple[UUID, int]]
    ) -> None:
        """Forget where the group is in these, in one commit."""
        rows = [(group_id, topic_id.hex, partition) for topic_id, partition in partitions]

        def change(db: sqlite3.Connection) -> None:
            db.executemany(
                "DELETE FROM share_partitions WHERE group_id = ? AND topic_id = ?"
                " AND partition = ?",
                rows,
            )

        await self._writer.run(change)

    async def delete_group(self, group_id: str) -> None:
        await self._writer.run(lambda db: delete_share_partitions_of_group(db, group_id))


def delete_share_partitions_of_group(db: sqlite3.Connection, group_id: str) -> None:
    """As part of a larger change."""
    db.execute("DELETE FROM share_partitions WHERE group_id = ?", (group_id,))
