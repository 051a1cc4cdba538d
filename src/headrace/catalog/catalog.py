"""The catalog as one thing to open, ask and close.

`DIR/catalog.db` is an SQLite file in WAL mode with synchronous=FULL: what was answered is on the
disk. Anyone may read it with an SQLite tool while the broker runs. `DIR/catalog.db-reserve` is
room on the disk for the next start (`reserve`).
"""

import base64
import os
import sqlite3
import uuid
from typing import Final

from headrace.catalog.configs import BrokerConfigRows
from headrace.catalog.gate import Gate
from headrace.catalog.group_configs import GroupConfigRows
from headrace.catalog.groups import Groups
from headrace.catalog.offsets import Offsets
from headrace.catalog.pending_offsets import PendingOffsets
from headrace.catalog.producer_ids import ProducerIdBlocks
from headrace.catalog.share_partitions import SharePartitionRows
from headrace.catalog.streams import StreamRows
from headrace.catalog.topics import TopicRows
from headrace.catalog.transactions import TransactionRows
from headrace.catalog.writer import Report, Writer

__all__ = ["CATALOG_NAME", "Catalog"]

CATALOG_NAME: Final = "catalog.db"


class Catalog:
    """Subjects as attributes; each method of theirs is one durable, atomic change."""

    def __init__(self, writer: Writer, cluster_id: str) -> None:
        self._writer = writer
        self.cluster_id = cluster_id
        """22 characters, made when the catalog was; what clients know this log by."""
        self.topics = TopicRows(writer)
        self.configs = BrokerConfigRows(writer)
        self.groups = Groups(writer)
        self.group_configs = GroupConfigRows(writer)
        self.offsets = Offsets(writer)
        self.pending_offsets = PendingOffsets(writer)
        self.transactions = TransactionRows(writer)
        self.producer_ids = ProducerIdBlocks(writer)
        self.share_partitions = SharePartitionRows(writer)
        self.streams = StreamRows(writer)

    @classmethod
    async def open(
        cls, directory: str, report: Report | None = None, *, is_shared: bool = False
    ) -> "Catalog":
        """Open `directory`/catalog.db, creating it if there is none; `report` as in `Writer`. One
        that is shared was opened by another process before (`connecting`), and others write to it.

        Raises CatalogError (headrace.catalog.schema) if it is damaged, newer, or not ours,
        RequestError if it cannot be written, OSError.
        """
        path = os.path.join(directory, CATALOG_NAME)
        gate = Gate(f"{path}-gate") if is_shared else None
        writer = await Writer.open(path, report, gate)
        try:
            return cls(writer, await writer.run(_cluster_id))
        except BaseException:
            await writer.close()
            raise

    @staticmethod
    def is_there(directory: str) -> bool:
        """Whether anything was ever written to the catalog of `directory`."""
        path = os.path.join(directory, CATALOG_NAME)
        return os.path.exists(path) and os.path.getsize(path) > 0

    async def probe(self) -> None:
        """Write something that changes nothing, durably. Raises RequestError if that fails."""
        await self._writer.run(_touch)

    async def close(self) -> None:
        """Finish the changes under way, then close the file. Idempotent. Raises CatalogError."""
        await self._writer.close()


def _touch(db: sqlite3.Connection) -> None:
    db.execute("UPDATE meta SET value = value WHERE name = 'cluster_id'")


def _cluster_id(db: sqlite3.Connection) -> str:
    """Kafka's form: the 16 bytes of a random uuid in unpadded URL-safe base64."""
    fresh = "-"
    while fresh.startswith("-"):  # which command lines would take for an option
        fresh = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    db.execute("INSERT OR IGNORE INTO meta VALUES ('cluster_id', ?)", (fresh,))
    (cluster_id,) = db.execute("SELECT value FROM meta WHERE name = 'cluster_id'").fetchone()
    return str(cluster_id)
