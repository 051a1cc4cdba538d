"""Consumer groups as rows: identity in columns for people with an SQLite shell, members and
assignments as one value that only the group coordinator reads. The SQL and nothing else.
"""

import sqlite3
from dataclasses import dataclass

from headrace.catalog.share_partitions import delete_share_partitions_of_group
from headrace.catalog.writer import Writer

__all__ = ["GroupRow", "Groups"]


@dataclass(slots=True)
class GroupRow:
    """A group as it must be after a restart."""

    group_id: str
    protocol_type: str
    generation: int
    protocol: str | None
    leader: str | None
    state: bytes
    """The coordinator's own encoding of the rest."""
    emptied_ms: int | None
    """When the last member left; offsets expire from then on. None while it has members."""


class Groups:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def load_all(self) -> list[GroupRow]:
        def change(db: sqlite3.Connection) -> list[GroupRow]:
            rows = db.execute(
                "SELECT group_id, protocol_type, generation, protocol, leader, state, emptied_ms"
                " FROM consumer_groups ORDER BY group_id"
            )
            return [GroupRow(*row) for row in rows]

        return await self._writer.read(change)

    async def save(self, group: GroupRow) -> None:
        """Durably write the group, replacing what was there under its id."""
        row = (
            group.group_id,
            group.protocol_type,
            group.generation,
            group.protocol,
            group.leader,
            group.state,
            group.emptied_ms,
        )

        def change(db: sqlite3.Connection) -> None:
            db.execute("REPLACE INTO consumer_groups VALUES (?, ?, ?, ?, ?, ?, ?)", row)

        await self._writer.run(change)

    async def delete(self, group_id: str) -> None:
        """Forget the group and, in the same commit, every offset it committed or was about to, and
        how far it has shared which partition."""

        def change(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM consumer_groups WHERE group_id = ?", (group_id,))
            db.execute("DELETE FROM committed_offsets WHERE group_id = ?", (group_id,))
            db.execute("DELETE FROM pending_offsets WHERE group_id = ?", (group_id,))
            delete_share_partitions_of_group(db, group_id)

        await self._writer.run(change)
