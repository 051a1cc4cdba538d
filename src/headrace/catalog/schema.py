"""The catalog's tables, and how a file of an older version becomes one of this version.

`PRAGMA user_version` counts the scripts of MIGRATIONS that a file has been through, so a script
that was released is never changed: a new shape is a new script at the end. `PRAGMA application_id`
marks the file as Headrace's. What must not enter: statements that read or write rows.
"""

import sqlite3
from typing import Final

__all__ = ["MIGRATIONS", "CatalogError", "prepare"]

APPLICATION_ID: Final = int.from_bytes(b"HEAD", "big")

SQLITE_VERSION_MIN: Final = (3, 37, 0)
"""STRICT tables."""

MIGRATIONS: Final = (
    """
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- id: 32 hex digits, the name of the topic's directory.
    CREATE TABLE topics (
        id TEXT PRIMARY KEY CHECK (length(id) = 32),
        name TEXT NOT NULL UNIQUE,
        partition_count INTEGER NOT NULL CHECK (partition_count > 0),
        created_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Only what differs from the broker's defaults.
    CREATE TABLE topic_configs (
        topic_id TEXT NOT NULL REFERENCES topics (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (topic_id, name)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE broker_configs (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- state: members and their assignments, written and read by the group coordinator alone.
    CREATE TABLE consumer_groups (
        group_id TEXT PRIMARY KEY,
        protocol_type TEXT NOT NULL,
        generation INTEGER NOT NULL,
        protocol TEXT,
        leader TEXT,
        state BLOB NOT NULL,
        emptied_ms INTEGER
    ) STRICT, WITHOUT ROWID;

    -- Without a reference to consumer_groups: a consumer may commit with no group behind it.
    CREATE TABLE committed_offsets (
        group_id TEXT NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        "offset" INTEGER NOT NULL,
        leader_epoch INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        committed_ms INTEGER NOT NULL,
        PRIMARY KEY (group_id, topic, partition)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX committed_offsets_by_topic ON committed_offsets (topic);

    -- One row: the first producer id that was never reserved.
    CREATE TABLE producer_ids (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        next_id INTEGER NOT NULL
    ) STRICT;

    INSERT INTO producer_ids VALUES (1, 0);
    """,
    """
    -- Without a reference to consumer_groups: may be set before there is the group.
    CREATE TABLE group_configs (
        group_id TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (group_id, name)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- Where each share group is in each partition. runs: JSON, the stretches of offsets from
    -- start_offset on as [length, state, delivery count]; what comes behind was never delivered.
    -- Without a reference to consumer_groups, like committed_offsets.
    CREATE TABLE share_partitions (
        group_id TEXT NOT NULL,
        topic_id TEXT NOT NULL REFERENCES topics (id) ON DELETE CASCADE,
        partition INTEGER NOT NULL,
        start_offset INTEGER NOT NULL,
        state_epoch INTEGER NOT NULL,
        runs TEXT NOT NULL,
        PRIMARY KEY (group_id, topic_id, partition)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX share_partitions_by_topic ON share_partitions (topic_id);
    """,
    """
    -- state: Kafka's name of it. partitions: JSON, {topic: [partition, ...]}.
    -- groups: JSON, [group id, ...].
    CREATE TABLE transactions (
        transactional_id TEXT PRIMARY KEY,
        producer_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        last_epoch INTEGER NOT NULL,
        previous_producer_id INTEGER NOT NULL,
        next_producer_id INTEGER NOT NULL,
        timeout_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        partitions TEXT NOT NULL,
        groups TEXT NOT NULL,
        transaction_epoch INTEGER NOT NULL,
        two_phase INTEGER NOT NULL,
        started_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Offsets that take effect when the producer's transaction is committed.
    CREATE TABLE pending_offsets (
        group_id TEXT NOT NULL,
        producer_id INTEGER NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        "offset" INTEGER NOT NULL,
        leader_epoch INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        PRIMARY KEY (group_id, producer_id, topic, partition)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX pending_offsets_by_topic ON pending_offsets (topic);
    """,
    """
    -- Partitions of elastic topics that no new ingest stream is routed to.
    CREATE TABLE retired_partitions (
        topic_id TEXT NOT NULL REFERENCES topics (id) ON DELETE CASCADE,
        partition INTEGER NOT NULL,
        retired_ms INTEGER NOT NULL,
        PRIMARY KEY (topic_id, partition)
    ) STRICT, WITHOUT ROWID;

    -- Persistent ingest streams. next_offset (in messages) and next_sequence (in records) are where
    -- the stream was when this was last written; the log knows better if it knows the producer.
    CREATE TABLE persistent_streams (
        stream_id TEXT PRIMARY KEY,
        topic_id TEXT NOT NULL REFERENCES topics (id) ON DELETE CASCADE,
        partition INTEGER NOT NULL,
        producer_id INTEGER NOT NULL UNIQUE,
        record_type TEXT NOT NULL,
        next_offset INTEGER NOT NULL,
        next_sequence INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        retired_ms INTEGER
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX persistent_streams_by_topic ON persistent_streams (topic_id);
    """,
    """
    -- Topics that were deleted and whose files may still be there.
    CREATE TABLE deleted_topics (
        id TEXT PRIMARY KEY CHECK (length(id) = 32)
    ) STRICT, WITHOUT ROWID;
    """,
)


class CatalogError(Exception):
    """A catalog that cannot be used: damaged, from a newer Headrace, or no catalog at all."""


def prepare(connection: sqlite3.Connection) -> None:
    """Make an empty file a catalog, bring an older one up to date, refuse what is neither.

    Raises CatalogError, or sqlite3.DatabaseError when SQLite itself cannot read the file.
    """
    if sqlite3.sqlite_version_info < SQLITE_VERSION_MIN:
        raise CatalogError(
            f"this Python's SQLite is {sqlite3.sqlite_version}, needed is "
            + ".".join(map(str, SQLITE_VERSION_MIN))
        )
    version = _pragma(connection, "user_version")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise CatalogError("it is an SQLite file of another program")
    if version > len(MIGRATIONS):
        raise CatalogError(
            f"it was written by a newer Headrace (its schema is version {version}, this program "
            f"knows up to {len(MIGRATIONS)}); run that version or a later one"
        )
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise CatalogError(f"it is damaged: {damage}")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
