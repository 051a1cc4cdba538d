"""A transactional id as it is after a restart: all that there is to know of it."""

from dataclasses import dataclass
from typing import NamedTuple

from headrace.transactions.states import State

__all__ = ["NO_PRODUCER", "ProducerIdentity", "TopicPartition", "TransactionRecord"]

TopicPartition = tuple[str, int]


class ProducerIdentity(NamedTuple):
    """Whom a producer's requests come from. An older epoch of the same id is fenced."""

    producer_id: int
    epoch: int


NO_PRODUCER = ProducerIdentity(-1, -1)


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """Never changed, always replaced. Times in ms since 1970."""

    transactional_id: str
    producer_id: int
    epoch: int
    """The one that requests must carry now. In a prepared state it is that of the markers."""
    timeout_ms: int
    state: State = State.EMPTY
    last_epoch: int = -1
    """The epoch before the last bump that its producer asked for, by which a repeated request is
    known (KIP-360); -1 when there was none, or somebody else bumped it."""
    previous_producer_id: int = -1
    """The id before this one, whose epochs were used up; -1 if there was none."""
    next_producer_id: int = -1
    """The id to go on with when the transaction is complete; -1: the same."""
    partitions: frozenset[TopicPartition] = frozenset()
    groups: frozenset[str] = frozenset()
    """Those whose offsets are committed with the transaction."""
    transaction_epoch: int = -1
    """The epoch that the ongoing transaction was begun in; -1 while there is none."""
    two_phase: bool = False
    """Its transactions have no timeout."""
    started_ms: int = -1
    """When the transaction began; -1 while there is none."""
    updated_ms: int = -1

    @property
    def is_kept(self) -> bool:
        """Whether the ongoing transaction is an earlier producer's, and waits to be ended."""
        return self.state is State.ONGOING and self.transaction_epoch != self.epoch

    @property
    def producer(self) -> ProducerIdentity:
        return ProducerIdentity(self.producer_id, self.epoch)
