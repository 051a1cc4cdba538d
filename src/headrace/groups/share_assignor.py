"""Who reads what in a share group: `simple`, the only assignor that KIP-932 has.

Every partition of a topic that somebody subscribes to has at least one reader, and every member
that subscribes to something at least one partition. While there are partitions enough each has
exactly one reader, shared out as evenly and with as few moves as `uniform` does it; members that
are left with nothing then join the readers of the partition that has fewest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from headrace.groups.assignors import uniform
from headrace.groups.subscribers import Assignment, Subscriber
from headrace.groups.topics_image import TopicPartition

__all__ = ["SIMPLE", "simple"]

SIMPLE: Final = "simple"
"""The name under which people see it."""


def simple(members: Sequence[Subscriber], sizes: Mapping[UUID, int]) -> Assignment:
    """`sizes`: partitions of each topic, in an order that is always the same."""
    if not members:
        return {}
    given = uniform(_one_reader_each(members), sizes, {})
    idle = [member for member in members if not given[member.member_id]]
    readers = Counter(partition for mine in given.values() for partition in mine)
    given.update(
        (member_id, frozenset((partition,)))
        for member_id, partition in _shared_out(idle, readers).items()
    )
    return given


def _one_reader_each(members: Sequence[Subscriber]) -> list[Subscriber]:
    """As if nobody had shared a partition so far, which is what `uniform` knows: of its readers the
    one with the fewest others has it."""
    taken: set[TopicPartition] = set()
    alone: dict[str, frozenset[TopicPartition]] = {}
    for member in sorted(members, key=lambda member: len(member.current)):
        alone[member.member_id] = member.current - taken
        taken |= member.current
    return [member._replace(current=alone[member.member_id]) for member in members]


def _shared_out(
    idle: Sequence[Subscriber], readers: Counter[TopicPartition]
) -> dict[str, TopicPartition]:
    """One partition for each; `readers` counts those of every partition, and goes on counting."""
    by_topic: dict[UUID, list[TopicPartition]] = {}
    for partition in readers:
        by_topic.setdefault(partition[0], []).append(partition)
    open_to = {
        member.member_id: [
            partition for topic in member.topics for partition in by_topic.get(topic, ())
        ]
        for member in idle
    }

    def least_read(partitions: Sequence[TopicPartition]) -> TopicPartition:
        return min(partitions, key=lambda partition: (readers[partition], partition))

    chosen: dict[str, TopicPartition] = {}
    for had in (True, False):  # who can stay where it is comes first
        for member in idle:
            choice = open_to[member.member_id]
            if had:
                choice = [partition for partition in choice if partition in member.current]
            if choice and member.member_id not in chosen:
                chosen[member.member_id] = least_read(choice)
                readers[chosen[member.member_id]] += 1
    moved = True
    while moved:  # ends: each move makes the counts more alike
        moved = False
        for member_id, partition in chosen.items():
            least = least_read(open_to[member_id])
            if readers[partition] - readers[least] > 1:
                chosen[member_id] = least
                readers[partition] -= 1
                readers[least] += 1
                moved = True
    return chosen
