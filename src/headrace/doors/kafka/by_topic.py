"""Partitions in the order of the wire: of each topic its partitions, ascending."""

from collections.abc import Iterable
from uuid import UUID

__all__ = ["by_topic"]


def by_topic(partitions: Iterable[tuple[UUID, int]]) -> dict[UUID, list[int]]:
    topics: dict[UUID, list[int]] = {}
    for topic_id, index in partitions:
        topics.setdefault(topic_id, []).append(index)
    for indexes in topics.values():
        indexes.sort()
    return topics
