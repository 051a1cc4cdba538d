"""A partition that another worker serves: it keeps its place, and writes are passed on.

Readers are sent to the owner. What must not enter: how writes get there (`peers`).
"""

from uuid import UUID

from headrace.broker.absent_log import AbsentLog
from headrace.broker.cluster.peers import Peers
from headrace.log.contract import AppendDone
from headrace.wire.errors import ErrorCode
from headrace.wire.markers import Marker

__all__ = ["RemoteLog"]


class RemoteLog(AbsentLog):
    """A PartitionLog of worker `owner`. Whatever reads raises NOT_LEADER_OR_FOLLOWER."""

    __slots__ = ("_partition", "_peers", "_topic_id", "owner")

    def __init__(self, peers: Peers, owner: int, topic_id: UUID, partition: int) -> None:
        why = f"worker {owner} serves this partition"
        super().__init__(ErrorCode.NOT_LEADER_OR_FOLLOWER, why)
        self._peers = peers
        self.owner = owner
        self._topic_id = topic_id
        self._partition = partition

    @property
    def is_reachable(self) -> bool:
        return self._peers.is_linked(self.owner)

    def append(self, batch: memoryview, acks: int, done: AppendDone | None) -> None:
        self._peers.append(self.owner, self._topic_id, self._partition, batch, acks, done)

    def append_marker(self, marker: Marker, done: AppendDone) -> None:
        self._peers.append_marker(self.owner, self._topic_id, self._partition, marker, done)
