"""Who reads what: the assignors of next-generation groups, as pure functions.

Each is given the subscribers, the partitions of the topics, what everyone had (the target so far)
and what a partition weighs; it returns the partitions of every subscriber. Every partition of a
topic that somebody subscribes to has exactly one reader.

- `uniform` every member as many partitions as the others, with as few moves as possible
- `range` of each topic a run of neighbours; members with the same topics get the same numbers of
  each, so that topics of one key can be joined
- `balanced` as uniform, but of weight: see its module

What must not enter: epochs, how a new assignment is brought to the members.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from uuid import UUID

from headrace.groups.balanced import balanced
from headrace.groups.spreading import spread
from headrace.groups.subscribers import (
    Assignment,
    Sizes,
    Subscriber,
    Weights,
    owners_now,
    readers_of,
    shares,
)
from headrace.groups.topics_image import TopicPartition

__all__ = ["ASSIGNORS", "BALANCED", "range_", "uniform"]

BALANCED: Final = "balanced"


def uniform(members: Sequence[Subscriber], sizes: Sizes, weights: Weights) -> Assignment:
    """Weights are not looked at. Members without a difference in topics differ by at most one."""
    if len({member.topics for member in members}) == 1:
        return _even(members, list(_partitions(members[0].topics, sizes)))
    readers = readers_of(members, sizes)
    alike = dict.fromkeys(_partitions(readers, sizes), 1.0)
    return shares(members, spread(alike, readers, owners_now(members), worth=0.0))


def range_(members: Sequence[Subscriber], sizes: Sizes, weights: Weights) -> Assignment:
    """Members in the order of their instance or member ids; weights are not looked at."""
    ordered = sorted(members, key=lambda member: member.instance_id or member.member_id)
    given: dict[str, list[TopicPartition]] = {member.member_id: [] for member in members}
    for topic, size in sizes.items():
        readers = [member.member_id for member in ordered if topic in member.topics]
        if not readers:
            continue
        share, more = divmod(size, len(readers))
        first = 0
        for place, reader in enumerate(readers):
            end = first + share + (place < more)
            given[reader] += ((topic, index) for index in range(first, end))
            first = end
    return {member_id: frozenset(partitions) for member_id, partitions in given.items()}


Assignor = Callable[[Sequence[Subscriber], Sizes, Weights], Assignment]

ASSIGNORS: Final[Mapping[str, Assignor]] = MappingProxyType(
    {"uniform": uniform, "range": range_, BALANCED: balanced}
)


def _partitions(topics: Collection[UUID], sizes: Sizes) -> Iterable[TopicPartition]:
    return (
        (topic, index) for topic, size in sizes.items() if topic in topics for index in range(size)
    )


def _even(members: Sequence[Subscriber], partitions: list[TopicPartition]) -> Assignment:
    """Everyone may read everything: whoever has most keeps one more, where there is one more."""
    wanted = frozenset(partitions)
    kept = {member.member_id: member.current & wanted for member in members}
    free: list[TopicPartition] = []
    if sum(map(len, kept.values())) < len(partitions):
        had = frozenset[TopicPartition]().union(*kept.values())
        free = [partition for partition in partitions if partition not in had]
    share, more = divmod(len(partitions), len(members))
    for place, member_id in enumerate(sorted(kept, key=lambda who: -len(kept[who]))):
        quota = share + (place < more)
        if len(kept[member_id]) > quota:
            in_order = sorted(kept[member_id])
            free += in_order[quota:]
            kept[member_id] = frozenset(in_order[:quota])
    for place, member_id in enumerate(sorted(kept, key=lambda who: -len(kept[who]))):
        missing = share + (place < more) - len(kept[member_id])
        if missing > 0:
            kept[member_id] |= frozenset(free[-missing:])
            del free[-missing:]
    return kept
