"""The broker's own configuration as changed at run time. The SQL and nothing else."""

import sqlite3
from collections.abc import Mapping

from headrace.catalog.writer import Outdated, Writer

__all__ = ["BrokerConfigRows"]


class BrokerConfigRows:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def load_all(self) -> dict[str, str]:
        def change(db: sqlite3.Connection) -> dict[str, str]:
            return dict(db.execute("SELECT name, value FROM broker_configs").fetchall())

        return await self._writer.read(change)

    async def replace_all(self, configs: Mapping[str, str], *, before: Mapping[str, str]) -> None:
        """Make `configs` the only values changed at run time. Raises Outdated unless they are as
        they were `before`."""
        rows = list(configs.items())

        def change(db: sqlite3.Connection) -> None:
            if dict(db.execute("SELECT name, value FROM broker_configs").fetchall()) != before:
                raise Outdated
            db.execute("DELETE FROM broker_configs")
            db.executemany("INSERT INTO broker_configs VALUES (?, ?)", rows)

        await self._writer.run(change)
