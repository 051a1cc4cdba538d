"""What was set for single groups at run time. The SQL and nothing else."""

import sqlite3
from collections.abc import Mapping

from headrace.catalog.writer import Outdated, Writer

__all__ = ["GroupConfigRows"]


class GroupConfigRows:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def load_all(self) -> dict[str, dict[str, str]]:
        """By group id, then by name."""

        def change(db: sqlite3.Connection) -> dict[str, dict[str, str]]:
            found: dict[str, dict[str, str]] = {}
            for group_id, name, value in db.execute(
                "SELECT group_id, name, value FROM group_configs"
            ):
                found.setdefault(group_id, {})[name] = value
            return found

        return await self._writer.read(change)

    async def replace(
        self, group_id: str, configs: Mapping[str, str], *, before: Mapping[str, str]
    ) -> None:
        """Make `configs` all that is set for this group. Raises Outdated unless that is as it was
        `before`."""
        rows = [(group_id, name, value) for name, value in configs.items()]

        def change(db: sqlite3.Connection) -> None:
            found = db.execute(
                "SELECT name, value FROM group_configs WHERE group_id = ?", (group_id,)
            )
            if dict(found.fetchall()) != before:
                raise Outdated
            db.execute("DELETE FROM group_configs WHERE group_id = ?", (group_id,))
            db.executemany("INSERT INTO group_configs VALUES (?, ?, ?)", rows)

        await self._writer.run(change)
