"""What became of dead letters since the start, by share group: plain integers for whoever shows
them. Bounded: groups beyond GROUPS_COUNTED_MAX are counted together, as OTHER_GROUPS."""

from collections import Counter
from typing import Final

__all__ = ["GROUPS_COUNTED_MAX", "OTHER_GROUPS", "DeadLetterCounts"]

GROUPS_COUNTED_MAX: Final = 1000
OTHER_GROUPS: Final = ""
"""No group can be called so."""


class DeadLetterCounts:
    """Read freely; `written`, `uncopied` and `lost` count."""

    def __init__(self) -> None:
        self.written_of: Counter[str] = Counter()
        """Durable."""
        self.uncopied_of: Counter[str] = Counter()
        """Of the written ones, in groups that copy records: those without key and value, because
        the record could not be read or would not have fitted."""
        self.lost_of: Counter[tuple[str, str]] = Counter()
        """By group and cause: records that were archived and left no dead letter."""
        self._groups: set[str] = set()

    def written(self, group_id: str, count: int) -> None:
        self.written_of[self._counted(group_id)] += count

    def uncopied(self, group_id: str, count: int) -> None:
        self.uncopied_of[self._counted(group_id)] += count

    def lost(self, group_id: str, cause: str, count: int) -> None:
        self.lost_of[self._counted(group_id), cause] += count

    def _counted(self, group_id: str) -> str:
        if group_id not in self._groups:
            if len(self._groups) >= GROUPS_COUNTED_MAX:
                return OTHER_GROUPS
            self._groups.add(group_id)
        return group_id
