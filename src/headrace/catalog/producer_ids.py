"""Which producer ids were ever reserved. The SQL and nothing else."""

import sqlite3

from headrace.catalog.writer import Writer

__all__ = ["ProducerIdBlocks"]


class ProducerIdBlocks:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def reserve(self, count: int) -> int:
        """Durably reserve `count` ids; returns the first. No id is ever reserved twice.

        Raises RequestError(KAFKA_STORAGE_ERROR).
        """

        def change(db: sqlite3.Connection) -> int:
            (after,) = db.execute(
                "UPDATE producer_ids SET next_id = next_id + ? RETURNING next_id", (count,)
            ).fetchone()
            return int(after) - count

        return await self._writer.run(change)
