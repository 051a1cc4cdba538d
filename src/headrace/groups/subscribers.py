"""What an assignor is given and what it gives: who wants what and has what, and who shall have it.

What must not enter: how to decide (`assignors`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from headrace.groups.topics_image import TopicPartition

__all__ = [
    "Assignment",
    "Sizes",
    "Subscriber",
    "Weights",
    "owners_now",
    "readers_of",
    "shares",
]

Assignment = dict[str, frozenset[TopicPartition]]


class Subscriber(NamedTuple):
    member_id: str
    instance_id: str | None
    topics: frozenset[UUID]
    current: frozenset[TopicPartition]


Sizes = Mapping[UUID, int]
"""Partitions of each topic, in an order that is always the same."""

Weights = Mapping[TopicPartition, float]
"""What a partition carries, in bytes/s; one that is not named carries nothing."""


def owners_now(members: Iterable[Subscriber]) -> dict[TopicPartition, str]:
    return {partition: member.member_id for member in members for partition in member.current}


def readers_of(members: Sequence[Subscriber], sizes: Sizes) -> dict[UUID, frozenset[str]]:
    """Who may read each topic that anybody subscribes to."""
    readers: dict[UUID, frozenset[str]] = {}
    known: dict[frozenset[str], frozenset[str]] = {}
    for topic in sizes:
        mine = frozenset(member.member_id for member in members if topic in member.topics)
        if mine:
            readers[topic] = known.setdefault(mine, mine)
    return readers


def shares(members: Iterable[Subscriber], owners: Mapping[TopicPartition, str]) -> Assignment:
    given: dict[str, list[TopicPartition]] = {member.member_id: [] for member in members}
    for partition, owner in owners.items():
        given[owner].append(partition)
    return {member_id: frozenset(mine) for member_id, mine in given.items()}
