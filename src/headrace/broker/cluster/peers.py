"""What a worker can ask of the others: the seam behind which the links between processes stand.

What must not enter: bytes, sockets.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from headrace.log.contract import AppendDone
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker

if TYPE_CHECKING:
    from headrace.wire.workers import (
        Ask,
        EndAsked,
        Enter,
        PartitionEnd,
        PartitionProduced,
        Position,
        PositionAsked,
    )

__all__ = ["ENDS_MAX", "Change", "NoPeers", "Peers"]

ENDS_MAX: Final = 1000
"""Partitions that are asked for at one time."""


class Change(IntEnum):
    """What was changed in the catalog that every worker keeps in memory."""

    TOPICS = 0
    """Which there are, their partitions and configurations."""
    BROKER_CONFIGS = 1
    GROUP_CONFIGS = 2
    KEPT_TRANSACTIONS = 3
    """Which transactions are kept (KIP-939): nobody writes to them any more."""


class Peers(Protocol):
    """The other workers, each by its index. Every call is made on the event loop's thread."""

    async def tell(self, change: Change) -> None:
        """Until every other worker that lives has taken up the change, within a bounded time.
        Who does not hear it takes it up when it starts or is linked again. Does not raise."""

    def append(
        self,
        owner: int,
        topic_id: UUID,
        partition: int,
        batch: memoryview,
        acks: int,
        done: AppendDone | None,
    ) -> None:
        """As `PartitionLog.append`, in the order of calls; but `batch` is kept, and must stay what
        it is, until it is answered. It is written once if it has a producer, and else at least
        once. `done` may hear of NOT_LEADER_OR_FOLLOWER when the owner is down for long, and then
        nobody knows whether the batch was appended."""

    def append_marker(
        self, owner: int, topic_id: UUID, partition: int, marker: Marker, done: AppendDone
    ) -> None:
        """As `PartitionLog.append_marker`. Also when the owner is down, or was lost before it
        answered: LinkDown, LinkLost."""

    def is_linked(self, owner: int) -> bool:
        """Whether the worker can be asked now."""

    async def end_group(self, owner: int, group_id: str, producer_id: int, *, commit: bool) -> None:
        """As `GroupCoordinator.end_transaction`, for a group of another worker.

        Raises RequestError: what that raises, LinkDown, LinkLost.
        """

    async def enter(self, owner: int, asked: "Enter") -> None:
        """Whether a transaction that another worker coordinates writes to a partition or group,
        which is durably added to it if need be and allowed.

        Raises RequestError: what `transaction_entry.enter` raises, LinkDown, LinkLost.
        """

    async def ends(self, owner: int, asked: "list[EndAsked]") -> "list[PartitionEnd]":
        """Where partitions of another worker end, at most ENDS_MAX, in the order of asking.

        Raises RequestError: LinkDown, LinkLost.
        """

    async def position(self, owner: int, asked: "PositionAsked") -> "Position":
        """Where a persistent stream goes on, when everything before it is durable. An owner that
        is down is waited for, for some time.

        Raises RequestError: what `recovered_position` raises, NOT_LEADER_OR_FOLLOWER when the
        owner does not come back.
        """

    async def produced(self, owner: int, topic_ids: list[UUID | None]) -> "list[PartitionProduced]":
        """What producers handed in to partitions that `owner` serves, of these topics (none: of
        all). Raises RequestError: LinkDown, LinkLost.
        """

    async def ask_share(self, owner: int, kind: "Ask", asked: object) -> bytes:
        """What concerns share groups (`share.elsewhere`); the answer's body.

        Raises RequestError: what the other worker refuses it with, LinkDown, LinkLost.
        """


class NoPeers:
    """Of a process that is alone: there is nobody to tell, and nothing is another's."""

    async def tell(self, change: Change) -> None:
        """Nobody else has it in memory."""

    def append(
        self,
        owner: int,
        topic_id: UUID,
        partition: int,
        batch: memoryview,
        acks: int,
        done: AppendDone | None,
    ) -> None:
        raise _nobody(owner)

    def append_marker(
        self, owner: int, topic_id: UUID, partition: int, marker: Marker, done: AppendDone
    ) -> None:
        raise _nobody(owner)

    def is_linked(self, owner: int) -> bool:
        return False

    async def end_group(self, owner: int, group_id: str, producer_id: int, *, commit: bool) -> None:
        raise _nobody(owner)

    async def enter(self, owner: int, asked: "Enter") -> None:
        raise _nobody(owner)

    async def ends(self, owner: int, asked: "list[EndAsked]") -> "list[PartitionEnd]":
        raise _nobody(owner)

    async def position(self, owner: int, asked: "PositionAsked") -> "Position":
        raise _nobody(owner)

    async def produced(self, owner: int, topic_ids: list[UUID | None]) -> "list[PartitionProduced]":
        raise _nobody(owner)

    async def ask_share(self, owner: int, kind: "Ask", asked: object) -> bytes:
        raise _nobody(owner)


def _nobody(owner: int) -> RequestError:
    return RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"there is no worker {owner}")
