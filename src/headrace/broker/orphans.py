"""Files of topics against the rows of topics: what a crash left of which, and what is missing.

A row is what makes a topic exist, but records without one are not removed unless the catalog knows
that their topic was deleted: it is the catalog that has lost something then.
What must not enter: how files are removed.
"""

import logging
from typing import Protocol
from uuid import UUID

from headrace.catalog.catalog import CATALOG_NAME, Catalog
from headrace.catalog.schema import CatalogError

__all__ = ["check_catalog_is_there", "orphans"]

_log = logging.getLogger(__name__)


class _Files(Protocol):
    def topic_ids(self) -> set[UUID]: ...

    def holds_data(self, topic_id: UUID) -> bool: ...


def check_catalog_is_there(files: _Files, directory: str) -> None:
    """Raises CatalogError if it is not, and there are records."""
    if not Catalog.is_there(directory) and any(map(files.holds_data, files.topic_ids())):
        raise CatalogError(
            f"there are topics in {directory} and no catalog: put {CATALOG_NAME} back, "
            "or take the directory topics away to begin anew"
        )


def orphans(files: _Files, known: set[UUID], deleted: set[UUID]) -> set[UUID]:
    """Topics whose files are to be removed: a crash kept them from existing, or from going whole.

    Files with records of a topic that was not `deleted` are left alone. Raises CatalogError if the
    catalog has lost all topics.
    """
    unknown = files.topic_ids() - known
    lost = {each for each in unknown - deleted if files.holds_data(each)}
    if lost and not known:
        raise CatalogError(
            f"the catalog knows no topic, and there are records of {len(lost)}: put back the "
            "catalog.db that belongs to them, or take the directory topics away to begin anew"
        )
    for each in lost:
        _log.error(
            "there are records of topic id %s, which the catalog does not know and never "
            "deleted: they are left alone; remove the directory if they are not wanted",
            each.hex,
        )
    for each in unknown - lost:
        _log.info("removing the files of topic id %s, which does not exist", each.hex)
    return unknown - lost
