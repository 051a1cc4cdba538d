"""Topics and their configuration as rows; a row in `topics` is what makes a topic exist. The SQL
and nothing else: names and values were validated before they come here.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from headrace.catalog.offsets import delete_offsets_of_topic
from headrace.catalog.writer import Outdated, Writer
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["TopicRow", "TopicRows"]


@dataclass(slots=True)
class TopicRow:
    id: UUID
    name: str
    partition_count: int
    created_ms: int
    configs: dict[str, str] = field(default_factory=dict)
    """Overrides only."""


class TopicRows:
    """Every method raises RequestError(KAFKA_STORAGE_ERROR) when the disk does not play along."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def is_in_doubt(self) -> bool:
        """As of the catalog's writer: a change that was refused may be there after a restart."""
        return self._writer.is_in_doubt

    async def load_all(self) -> list[TopicRow]:
        return await self._writer.read(_load)

    async def load(self, topic_id: UUID) -> TopicRow | None:
        """One, or None if it does not exist."""
        found = await self._writer.run(lambda db: _load(db, topic_id.hex))
        return found[0] if found else None

    async def insert(self, topic: TopicRow) -> None:
        """Raises RequestError TOPIC_ALREADY_EXISTS."""

        def change(db: sqlite3.Connection) -> None:
            try:
                db.execute(
                    "INSERT INTO topics VALUES (?, ?, ?, ?)",
                    (topic.id.hex, topic.name, topic.partition_count, topic.created_ms),
                )
            except sqlite3.IntegrityError as error:
                raise RequestError(
                    ErrorCode.TOPIC_ALREADY_EXISTS, f"topic {topic.name!r} already exists"
                ) from error
            _insert_configs(db, topic.id, topic.configs)

        await self._writer.run(change)

    async def delete(self, topic_id: UUID, name: str) -> bool:
        """Remove the topic, its configuration and every offset committed for it, in one commit
        that remembers the topic's id until `files_are_gone`; False if somebody else has."""

        def change(db: sqlite3.Connection) -> bool:
            if not db.execute("DELETE FROM topics WHERE id = ?", (topic_id.hex,)).rowcount:
                return False  # the name may be another topic's by now
            db.execute("INSERT OR IGNORE INTO deleted_topics VALUES (?)", (topic_id.hex,))
            delete_offsets_of_topic(db, name)
            return True

        return await self._writer.run(change)

    async def set_partition_count(self, topic_id: UUID, count: int, *, before: int) -> None:
        """Raises Outdated unless the topic is there and has `before` partitions."""

        def change(db: sqlite3.Connection) -> None:
            changed = db.execute(
                "UPDATE topics SET partition_count = ? WHERE id = ? AND partition_count = ?",
                (count, topic_id.hex, before),
            )
            if not changed.rowcount:
                raise Outdated

        await self._writer.run(change)

    async def deleted(self) -> set[UUID]:
        """Topics that were deleted, and whose files may still be there."""
        return await self._writer.read(_load_deleted)

    async def files_are_gone(self, topic_ids: Iterable[UUID]) -> None:
        """Those deleted topics need not be known any more."""
        ids = [(topic_id.hex,) for topic_id in topic_ids]

        def change(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM deleted_topics WHERE id = ?", ids)

        if ids:
            await self._writer.run(change)

    async def replace_configs(
        self, topic_id: UUID, configs: Mapping[str, str], *, before: Mapping[str, str]
    ) -> None:
        """Make `configs` the topic's only overrides. Raises Outdated unless the topic is there and
        they are as they were `before`."""

        def change(db: sqlite3.Connection) -> None:
            found = _load(db, topic_id.hex)
            if not found or found[0].configs != before:
                raise Outdated
            db.execute("DELETE FROM topic_configs WHERE topic_id = ?", (topic_id.hex,))
            _insert_configs(db, topic_id, configs)

        await self._writer.run(change)


def _load(db: sqlite3.Connection, topic_id: str | None = None) -> list[TopicRow]:
    """All by name, or the one of this id."""
    rows = db.execute(
        "SELECT id, name, partition_count, created_ms FROM topics WHERE ?1 IS NULL ORDER BY name"
        if topic_id is None
        else "SELECT id, name, partition_count, created_ms FROM topics WHERE id = ?1",
        (topic_id,),
    )
    topics = {row[0]: TopicRow(UUID(row[0]), *row[1:]) for row in rows}
    configs = db.execute(
        "SELECT topic_id, name, value FROM topic_configs WHERE ?1 IS NULL"
        if topic_id is None
        else "SELECT topic_id, name, value FROM topic_configs WHERE topic_id = ?1",
        (topic_id,),
    )
    for owner, name, value in configs:
        topics[owner].configs[name] = value
    return list(topics.values())


def _load_deleted(db: sqlite3.Connection) -> set[UUID]:
    return {UUID(hex=id_) for (id_,) in db.execute("SELECT id FROM deleted_topics")}


def _insert_configs(db: sqlite3.Connection, topic_id: UUID, configs: Mapping[str, str]) -> None:
    db.executemany(
        "INSERT INTO topic_configs VALUES (?, ?, ?)",
        [(topic_id.hex, name, value) for name, value in configs.items()],
    )
