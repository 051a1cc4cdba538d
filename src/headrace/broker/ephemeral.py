"""The catalog of groups that are not to be kept: nothing reaches a disk.

Such a group has its state and its offsets in its `HostedGroup`, as every group, and nowhere else.
What must not enter: which groups these are (`group_configs`), when they end (`group_coordinator`).
"""

from collections.abc import Iterable
from typing import Final

from headrace.catalog.groups import GroupRow

__all__ = ["IN_MEMORY"]


class _NoGroups:
    async def load_all(self) -> list[GroupRow]:
        return []

    async def save(self, group: GroupRow) -> None:
        """It is in memory already."""

    async def delete(self, group_id: str) -> None:
        """Nothing was kept."""


class _NoOffsets:
    async def load_all(self) -> Iterable[tuple[str, str, int, int, int, str, int]]:
        return ()

    async def commit(
        self, group_id: str, offsets: Iterable[tuple[str, int, int, int, str]], now_ms: int
    ) -> None:
        """They are in memory already."""

    async def delete(self, group_id: str, pairs: Iterable[tuple[str, int]] | None = None) -> None:
        """Nothing was kept."""


class _NoPendingOffsets:
    async def load_all(self) -> Iterable[tuple[str, int, str, int, int, int, str]]:
        return ()

    async def replace(
        self, group_id: str, producer_id: int, offsets: Iterable[tuple[str, int, int, int, str]]
    ) -> None:
        """They are in memory already."""


class _NoCatalog:
    groups: Final = _NoGroups()
    offsets: Final = _NoOffsets()
    pending_offsets: Final = _NoPendingOffsets()


IN_MEMORY: Final = _NoCatalog()
