"""A partition that another worker serves: it keeps its place, and writes are passed on.

Readers are sent to the owner: whatever looks into the log is refused, and loops over partitions
find nothing to do here. What must not enter: how writes get there (`peers`).
"""

from collections.abc import Callable, Sequence
from typing import NoReturn
from uuid import UUID

from headrace.broker.cluster.peers import Peers
from headrace.log.contract import (
    Aborted,
    AppendDone,
    CleaningDone,
    CleaningState,
    LastBatch,
    LogConfig,
    LogOffsets,
    ProducerSnapshot,
    Slice,
    TimestampedOffset,
)
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker

__all__ = ["RemoteLog"]


class RemoteLog:
    """A PartitionLog of worker `owner`. Whatever reads raises NOT_LEADER_OR_FOLLOWER."""

    __slots__ = ("_partition", "_peers", "_topic_id", "leader_epoch", "owner")

    def __init__(self, peers: Peers, owner: int, topic_id: UUID, partition: int) -> None:
        self._peers = peers
        self.owner = owner
        self._topic_id = topic_id
        self._partition = partition
        self.leader_epoch = 0

    @property
    def is_reachable(self) -> bool:
        return self._peers.is_linked(self.owner)

    def append(self, batch: memoryview, acks: int, done: AppendDone | None) -> None:
        self._peers.append(self.owner, self._topic_id, self._partition, batch, acks, done)

    def append_marker(self, marker: Marker, done: AppendDone) -> None:
        self._peers.append_marker(self.owner, self._topic_id, self._partition, marker, done)

    def is_in_transaction(self, producer_id: int, producer_epoch: int) -> bool:
        return False

    async def read(
        self, offset: int, size_bytes_max: int, *, at_least_one: bool, committed: bool = False
    ) -> Slice:
        self._refuse()

    def aborted_between(self, start: int, end: int) -> Sequence[Aborted]:
        self._refuse()

    def committed_end(self) -> int:
        self._refuse()

    def offsets(self) -> LogOffsets:
        self._refuse()

    def readable_bytes_after(self, offset: int) -> int:
        self._refuse()

    def notify(self, waiter: Callable[[], None]) -> Callable[[], None]:
        """What happens there is not heard here."""
        return _nothing

    async def offset_for_time(self, timestamp_ms: int) -> TimestampedOffset | None:
        self._refuse()

    async def delete_before(self, offset: int) -> int:
        self._refuse()

    def producers(self) -> list[ProducerSnapshot]:
        return []

    def last_batch(self, producer_id: int) -> LastBatch | None:
        self._refuse()

    def size_bytes(self) -> int:
        return 0

    def configure(self, config: LogConfig) -> None:
        """The owner hears of it by itself."""

    async def tidy(self, now_ms: int) -> int:
        return 0

    def cleaning(self, now_ms: int) -> CleaningState | None:
        return None

    async def clean(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        self._refuse()

    async def close(self) -> None:
        """There is nothing open."""

    def _refuse(self) -> NoReturn:
        raise RequestError(
            ErrorCode.NOT_LEADER_OR_FOLLOWER, f"worker {self.owner} serves this partition"
        )


def _nothing() -> None:
    """Cancels a notification that was never registered."""
