"""The names of topics, read from a catalog that no broker has open. Changes nothing.

What must not enter: writing.
"""

import os
import sqlite3
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from headrace.catalog.catalog import CATALOG_NAME
from headrace.catalog.schema import CatalogError

__all__ = ["KnownTopic", "known_topics"]


class KnownTopic(NamedTuple):
    id: UUID
    name: str
    partition_count: int


def known_topics(directory: str) -> list[KnownTopic]:
    """The topics in the catalog of a data directory, by name; none where there is no catalog.
    Raises CatalogError."""
    path = os.path.join(directory, CATALOG_NAME)
    if not os.path.exists(path):
        return []
    try:
        db = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
        try:
            rows = db.execute("SELECT id, name, partition_count FROM topics ORDER BY name")
            return [KnownTopic(UUID(hex=id_), name, count) for id_, name, count in rows]
        finally:
            db.close()
    except (sqlite3.Error, ValueError) as error:
        raise CatalogError(f"{path} cannot be read: {error}") from error
