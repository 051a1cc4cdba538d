"""Offsets that wait for the end of a transaction. The SQL and nothing else."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from headrace.catalog.writer import Writer

__all__ = ["PendingOffset", "PendingOffsets"]


class PendingOffset(NamedTuple):
    """One row; see `CommittedOffset`."""

    group_id: str
    producer_id: int
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str


class PendingOffsets:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def load_all(self) -> list[PendingOffset]:
        def change(db: sqlite3.Connection) -> list[PendingOffset]:
            rows = db.execute(
                'SELECT group_id, producer_id, topic, partition, "offset", leader_epoch, metadata'
                " FROM pending_offsets ORDER BY group_id, producer_id, topic, partition"
            )
            return [PendingOffset(*row) for row in rows]

        return await self._writer.read(change)

    async def replace(
        self, group_id: str, producer_id: int, offsets: Iterable[tuple[str, int, int, int, str]]
    ) -> None:
        """Make these (topic, partition, offset, leader_epoch, metadata) all that waits for the
        producer's transaction in the group; none when it is over."""
        rows = [(group_id, producer_id, *offset) for offset in offsets]

        def change(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM pending_offsets WHERE group_id = ? AND producer_id = ?",
                (group_id, producer_id),
            )
            db.executemany("INSERT INTO pending_offsets VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

        await self._writer.run(change)
