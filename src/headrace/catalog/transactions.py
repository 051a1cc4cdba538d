"""Transactional ids as rows: what an SQLite shell shows of transactions. The SQL and nothing else.

`partitions` and `groups` are JSON: {topic: [partition, ...]} and [group id, ...], sorted.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from headrace.catalog.schema import CatalogError
from headrace.catalog.writer import Writer

__all__ = ["TransactionRow", "TransactionRows"]


@dataclass(slots=True)
class TransactionRow:
    """A transactional id as it must be after a restart. Times in ms since 1970, -1: none."""

    transactional_id: str
    producer_id: int
    epoch: int
    last_epoch: int
    previous_producer_id: int
    next_producer_id: int
    timeout_ms: int
    state: str
    partitions: Iterable[tuple[str, int]]
    groups: Iterable[str]
    transaction_epoch: int
    two_phase: bool
    started_ms: int
    updated_ms: int


class TransactionRows:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def load_all(self) -> list[TransactionRow]:
        """Raises CatalogError for a row that cannot be read."""

        def change(db: sqlite3.Connection) -> list[TransactionRow]:
            rows = db.execute(
                "SELECT transactional_id, producer_id, epoch, last_epoch, previous_producer_id,"
                " next_producer_id, timeout_ms, state, partitions, groups, transaction_epoch,"
                " two_phase, started_ms, updated_ms FROM transactions ORDER BY transactional_id"
            )
            return [_read(TransactionRow(*row)) for row in rows]

        return await self._writer.read(change)

    async def save(self, row: TransactionRow) -> None:
        """Durably write the row, replacing what was there under its id."""
        partitions: dict[str, list[int]] = {}
        for topic, partition in sorted(row.partitions):
            partitions.setdefault(topic, []).append(partition)
        values = (
            row.transactional_id,
            row.producer_id,
            row.epoch,
            row.last_epoch,
            row.previous_producer_id,
            row.next_producer_id,
            row.timeout_ms,
            row.state,
            json.dumps(partitions, separators=(",", ":")),
            json.dumps(sorted(row.groups), separators=(",", ":")),
            row.transaction_epoch,
            row.two_phase,
            row.started_ms,
            row.updated_ms,
        )

        def change(db: sqlite3.Connection) -> None:
            db.execute(
                "REPLACE INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )

        await self._writer.run(change)

    async def delete(self, transactional_ids: Iterable[str]) -> None:
        rows = [(transactional_id,) for transactional_id in transactional_ids]

        def change(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM transactions WHERE transactional_id = ?", rows)

        await self._writer.run(change)


def _read(row: TransactionRow) -> TransactionRow:
    """The row, whose JSON was only text so far."""
    try:
        topics = json.loads(str(row.partitions))
        row.partitions = [
            (topic, int(index)) for topic, indexes in topics.items() for index in indexes
        ]
        row.two_phase = bool(row.two_phase)
        row.groups = [str(group_id) for group_id in json.loads(str(row.groups))]
    except (ValueError, TypeError, AttributeError) as error:
        raise CatalogError(
            f"transaction {row.transactional_id!r} cannot be read: {error!r}"
        ) from error
    return row
