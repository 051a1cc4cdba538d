"""What a group needs to know of topics: names, ids and sizes at one moment.

An image never changes; a newer one is another object. What must not enter: where it comes from.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from headrace.groups.topic_pattern import TopicPattern

__all__ = ["NO_TOPICS", "TopicFacts", "TopicPartition", "TopicsImage"]

TopicPartition = tuple[UUID, int]

PATTERNS_KEPT_MAX: Final = 1000
"""Whose matches are remembered."""


class TopicFacts(NamedTuple):
    id: UUID
    name: str
    partitions: int


class TopicsImage:
    """Compared by identity: who holds the newest one needs not look at it again."""

    __slots__ = ("_matching", "by_id", "by_name")

    def __init__(self, topics: Iterable[TopicFacts]) -> None:
        self.by_name: Mapping[str, TopicFacts] = MappingProxyType(
            {topic.name: topic for topic in topics}
        )
        self.by_id: Mapping[UUID, TopicFacts] = MappingProxyType(
            {topic.id: topic for topic in self.by_name.values()}
        )
        self._matching: dict[str, tuple[TopicFacts, ...]] = {}

    def matching(self, pattern: TopicPattern) -> tuple[TopicFacts, ...]:
        """The topics whose whole name the pattern matches; found once for all who ask."""
        found = self._matching.get(pattern.expression)
        if found is None:
            found = tuple(t for name, t in self.by_name.items() if pattern.matches(name))
            if len(self._matching) >= PATTERNS_KEPT_MAX:
                self._matching.clear()
            self._matching[pattern.expression] = found
        return found


NO_TOPICS: Final = TopicsImage(())
