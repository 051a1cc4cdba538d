"""Who reads what: the assignors of next-generation groups, as pure functions.

Each is given the subscribers, the partitions of the topics, what everyone had (the target so far)
and what a partition weighs; it returns the partitions of every subscriber. Every partition of a
topic that somebody subscribes to has exactly one reader.

- `uniform` every member as many partitions as the others, with as few moves as possible
- `range` of each topic a run of neighbours; members with the same topics get the same numbers of
  each, so that topics of one key can be joined
- `balanced` as uniform, but of weight: it moves partitions only while that evens out more than
  SLACK of what a member carries. Not offered to clients before somebody measures weights

What must not enter: epochs, how a new assignment is brought to the members.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from headrace.groups.topics_image import TopicPartition

__all__ = ["ASSIGNORS", "DEFAULT_ASSIGNOR", "Assignment", "Subscriber", "balanced", "unweighed"]

SLACK: Final = 0.1
"""Of the mean load: imbalance that is not worth a move of weighted partitions."""

IDLE_SHARE: Final = 0.1
"""What an idle partition weighs, of the mean weight."""

MOVES_PER_PARTITION_MAX: Final = 4
"""Bound of the evening-out; each move makes the loads more alike, so few are ever needed."""

Assignment = dict[str, frozenset[TopicPartition]]


class Subscriber(NamedTuple):
    member_id: str
    instance_id: str | None
    topics: frozenset[UUID]
    current: frozenset[TopicPartition]


Sizes = Mapping[UUID, int]
"""Partitions of each topic, in an order that is always the same."""

Weigh = Callable[[TopicPartition], float]


def uniform(members: Sequence[Subscriber], sizes: Sizes, weigh: Weigh) -> Assignment:
    """Weights are not looked at. Members without a difference in topics differ by at most one."""
    if len({member.topics for member in members}) == 1:
        return _even(members, list(_partitions(members[0].topics, sizes)))
    return _spread(members, sizes, lambda _: 1.0, slack=0.0)


def balanced(members: Sequence[Subscriber], sizes: Sizes, weigh: Weigh) -> Assignment:
    """Partitions weigh what they are measured to carry; stays as it is while that is fair.

    On top of its weight each counts a little for itself, so that idle ones are shared out too.
    """
    weights = {
        (topic, index): max(weigh((topic, index)), 0.0)
        for topic, size in sizes.items()
        for index in range(size)
    }
    own = IDLE_SHARE * sum(weights.values()) / max(len(weights), 1) or 1.0
    return _spread(members, sizes, lambda partition: weights[partition] + own, slack=SLACK)


def range_(members: Sequence[Subscriber], sizes: Sizes, weigh: Weigh) -> Assignment:
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


def unweighed(_: TopicPartition) -> float:
    """For assignors that do not look at weights."""
    return 0.0


ASSIGNORS: Final[Mapping[str, Callable[[Sequence[Subscriber], Sizes, Weigh], Assignment]]] = (
    MappingProxyType({"uniform": uniform, "range": range_})
)
DEFAULT_ASSIGNOR: Final = "uniform"


def _partitions(topics: Collection[UUID], sizes: Sizes) -> Iterable[TopicPartition]:
    return (
        (topic, index) for topic, size in sizes.items() if topic in topics for index in range(size)
    )


def _even(members: Sequence[Subscriber], partitions: list[TopicPartition]) -> Assignment:
    """Everyone may read everything: whoever has most keeps one more, where there is one more."""
    owners = {partition: member.member_id for member in members for partition in member.current}
    kept: dict[str, list[TopicPartition]] = {member.member_id: [] for member in members}
    free: list[TopicPartition] = []
    for partition in partitions:
        owner = owners.get(partition)
        (free if owner is None else kept[owner]).append(partition)
    share, more = divmod(len(partitions), len(members))
    for place, member_id in enumerate(sorted(kept, key=lambda who: -len(kept[who]))):
        mine = kept[member_id]
        quota = share + (place < more)
        free += mine[quota:]
        del mine[quota:]
    for place, member_id in enumerate(sorted(kept, key=lambda who: -len(kept[who]))):
        missing = share + (place < more) - len(kept[member_id])
        if missing > 0:
            kept[member_id] += free[-missing:]
            del free[-missing:]
    return {member_id: frozenset(mine) for member_id, mine in kept.items()}


def _spread(
    members: Sequence[Subscriber], sizes: Sizes, weigh: Weigh, *, slack: float
) -> Assignment:
    """Sticky first: all keep what they may, the rest goes heaviest first to who carries least, and
    then partitions move from the loaded to the less loaded while that helps."""
    readers = {
        topic: [member.member_id for member in members if topic in member.topics] for topic in sizes
    }
    partitions = [
        (topic, index) for topic, size in sizes.items() if readers[topic] for index in range(size)
    ]
    weights = {partition: weigh(partition) for partition in partitions}
    had = {partition: member.member_id for member in members for partition in member.current}
    owners = {
        partition: had[partition]
        for partition in partitions
        if had.get(partition) in readers[partition[0]]
    }
    loads = dict.fromkeys((member.member_id for member in members), 0.0)
    for partition, owner in owners.items():
        loads[owner] += weights[partition]
    free = [partition for partition in partitions if partition not in owners]
    free.sort(key=lambda partition: (len(readers[partition[0]]), -weights[partition]))
    for partition in free:
        least = min(readers[partition[0]], key=loads.__getitem__)
        owners[partition] = least
        loads[least] += weights[partition]
    worth = slack * sum(loads.values()) / len(loads)
    _even_out(owners, loads, weights, readers, worth)
    given: dict[str, list[TopicPartition]] = {member_id: [] for member_id in loads}
    for partition, owner in owners.items():
        given[owner].append(partition)
    return {member_id: frozenset(mine) for member_id, mine in given.items()}


def _even_out(
    owners: dict[TopicPartition, str],
    loads: dict[str, float],
    weights: Mapping[TopicPartition, float],
    readers: Mapping[UUID, list[str]],
    worth: float,
) -> None:
    """Move a partition where the difference that remains is smaller by more than `worth`."""
    moves_left = MOVES_PER_PARTITION_MAX * len(owners)
    moved = True
    while moved:
        moved = False
        for partition, owner in owners.items():
            weight = weights[partition]
            least = min(readers[partition[0]], key=loads.__getitem__)
            if loads[owner] - loads[least] - weight > worth and moves_left > 0:
                owners[partition] = least
                loads[owner] -= weight
                loads[least] += weight
                moves_left -= 1
                moved = True
