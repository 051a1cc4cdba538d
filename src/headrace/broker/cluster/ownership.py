"""Who serves what, when several processes share a data directory.

Worker i of N has the node id `first + i`. A partition, a group and a transactional id each belong
to one worker, by arithmetic that every worker does alike: nobody asks, nothing is stored, and
another N is another division of the same data.

    partition   (CRC-32 of the topic id + partition) mod N, so neighbours go round robin
    group       CRC-32 of its id mod N
    transaction CRC-32 of its transactional id mod N

What must not enter: addresses, state, I/O.
"""

from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID
from zlib import crc32

__all__ = ["WORKERS_MAX", "Ownership"]

WORKERS_MAX: Final = 64
"""Each is a process of some 60 MB that holds a link to every other."""

_FIRST: Final = 0


@dataclass(frozen=True, slots=True)
class Ownership:
    """Seen by worker `index` of `count`; the first has `first_node_id`."""

    index: int
    count: int
    first_node_id: int

    @classmethod
    def alone(cls, node_id: int) -> Self:
        """One process that owns everything."""
        return cls(_FIRST, 1, node_id)

    @property
    def is_alone(self) -> bool:
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """The first worker does what only one may do."""
        return self.index == _FIRST

    @property
    def node_id(self) -> int:
        return self.first_node_id + self.index

    @property
    def controller_id(self) -> int:
        """The node id of the first worker."""
        return self.first_node_id

    @property
    def others(self) -> tuple[int, ...]:
        """The indexes of the other workers."""
        return tuple(index for index in range(self.count) if index != self.index)

    def node_id_of(self, worker: int) -> int:
        return self.first_node_id + worker

    def owner_of_partition(self, topic_id: UUID, partition: int) -> int:
        """The index of the worker that serves the partition."""
        return (crc32(topic_id.bytes) + partition) % self.count

    def owner_of_group(self, group_id: str) -> int:
        """The index of the worker that coordinates the group."""
        return crc32(group_id.encode()) % self.count

    def owner_of_transaction(self, transactional_id: str) -> int:
        """The index of the worker that coordinates this producer's transactions."""
        return crc32(transactional_id.encode()) % self.count

    def is_my_partition(self, topic_id: UUID, partition: int) -> bool:
        return self.owner_of_partition(topic_id, partition) == self.index

    def is_my_group(self, group_id: str) -> bool:
        return self.owner_of_group(group_id) == self.index

    def is_my_transaction(self, transactional_id: str) -> bool:
        return self.owner_of_transaction(transactional_id) == self.index
