"""Sharing weighted partitions out among readers, with as few moves as it takes.

All keep what they have. What nobody has goes, heaviest first, to whoever carries least. Then the
most loaded reader passes partitions on to the least loaded one while that evens out more than
`worth`, or while somebody has nothing at all; then the next, until nobody has one to pass on.

What must not enter: what a weight is (`balanced`), members and epochs.
"""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final
from uuid import UUID

from headrace.groups.topics_image import TopicPartition

__all__ = ["spread"]

MOVES_PER_PARTITION_MAX: Final = 4
"""Bound of the evening-out; each move makes the loads more alike, so few are ever needed."""

Readers = Mapping[UUID, frozenset[str]]
"""Who may read each topic."""


def spread(
    weights: Mapping[TopicPartition, float],
    readers: Readers,
    had: Mapping[TopicPartition, str],
    *,
    worth: float,
) -> dict[TopicPartition, str]:
    """Who shall have each of the partitions in `weights`, which are above zero; `had` says who has
    it now. Every topic has a reader."""
    sharing = _Sharing(weights, readers)
    free = []
    for partition in weights:
        owner = had.get(partition)
        if owner is not None and owner in readers[partition[0]]:
            sharing.give(partition, owner)
        else:
            free.append(partition)
    free.sort(key=lambda partition: (len(readers[partition[0]]), -weights[partition]))
    for partition in free:
        sharing.give(partition, sharing.least_loaded(partition[0]))
    sharing.even_out(worth)
    return sharing.owners


class _Lightest:
    """The reader of a set that carries least, found quickly while loads change."""

    __slots__ = ("_heap", "_loads")

    def __init__(self, readers: Iterable[str], loads: Mapping[str, float]) -> None:
        self._loads = loads
        self._heap = [(loads[reader], reader) for reader in sorted(readers)]
        heapify(self._heap)

    def note(self, reader: str) -> None:
        """Its load is another one now."""
        heappush(self._heap, (self._loads[reader], reader))

    def find(self) -> str:
        while self._loads[self._heap[0][1]] != self._heap[0][0]:
            heappop(self._heap)  # what it said has changed since
        return self._heap[0][1]


class _Sharing:
    """Who has what at this moment, and how much that is."""

    def __init__(self, weights: Mapping[TopicPartition, float], readers: Readers) -> None:
        self.owners: dict[TopicPartition, str] = {}
        self._weights = weights
        everyone = sorted({reader for of_topic in readers.values() for reader in of_topic})
        self._mine: dict[str, dict[TopicPartition, None]] = {reader: {} for reader in everyone}
        """In the order given: two brokers that know the same decide the same."""
        self._loads = dict.fromkeys(everyone, 0.0)
        sets = {of_topic: _Lightest(of_topic, self._loads) for of_topic in readers.values()}
        self._lightest = {topic: sets[of_topic] for topic, of_topic in readers.items()}
        self._seen_by: dict[str, list[_Lightest]] = {
            reader: [lightest for of_topic, lightest in sets.items() if reader in of_topic]
            for reader in everyone
        }

    def give(self, partition: TopicPartition, reader: str) -> None:
        owner = self.owners.get(partition)
        if owner is not None:
            del self._mine[owner][partition]
            self._load(owner, -self._weights[partition])
        self.owners[partition] = reader
        self._mine[reader][partition] = None
        self._load(reader, self._weights[partition])

    def _load(self, reader: str, more: float) -> None:
        self._loads[reader] += more
        for lightest in self._seen_by[reader]:
            lightest.note(reader)

    def least_loaded(self, topic: UUID) -> str:
        return self._lightest[topic].find()

    def even_out(self, worth: float) -> None:
        loaded = [(-load, reader) for reader, load in self._loads.items()]
        heapify(loaded)
        moves_left = MOVES_PER_PARTITION_MAX * len(self.owners)
        while loaded and moves_left > 0:
            load, owner = heappop(loaded)
            if -load != self._loads[owner]:
                continue  # there is a newer entry
            move = self._best_move(owner, worth)
            if move is None:
                continue  # nobody gets lighter than who is lightest now, so this stays so
            self.give(*move)
            moves_left -= 1
            for changed in (owner, move[1]):
                heappush(loaded, (-self._loads[changed], changed))

    def _best_move(self, owner: str, worth: float) -> tuple[TopicPartition, str] | None:
        """What evens out most: nearest to half of the difference."""
        best: tuple[TopicPartition, str] | None = None
        best_miss = float("inf")
        mine = self._mine[owner]
        if len(mine) < 2:
            return None
        targets = {topic: self.least_loaded(topic) for topic, _ in mine}
        for partition in mine:
            reader = targets[partition[0]]
            difference = self._loads[owner] - self._loads[reader]
            weight = self._weights[partition]
            needed = worth if self._mine[reader] else 0.0
            miss = abs(difference / 2 - weight)
            if difference - weight > needed and miss < best_miss:
                best, best_miss = (partition, reader), miss
        return best
