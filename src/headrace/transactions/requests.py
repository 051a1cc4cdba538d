"""What a transactional id is asked. Requests of versions before KIP-890 and after differ in what
they let a producer do: `bumps_epoch` is the later protocol ("transaction version 2")."""

from dataclasses import dataclass

from headrace.transactions.record import NO_PRODUCER, ProducerIdentity, TopicPartition

__all__ = ["Add", "End", "Init"]


@dataclass(frozen=True, slots=True)
class Init:
    """A producer begins, or begins anew after an error."""

    timeout_ms: int
    """How long its transactions may take."""
    expected: ProducerIdentity = NO_PRODUCER
    """Who it believes to be (KIP-360); none if it has just started."""
    two_phase: bool = False
    """Its transactions wait for a decision from outside, however long that takes (KIP-939)."""
    keeps_prepared: bool = False
    """A transaction that is open is not aborted: the producer will end it, and nothing else."""
    fresh_producer_id: int = -1
    """An id that nobody has; used where `needs_fresh_id` says so."""


@dataclass(frozen=True, slots=True)
class Add:
    """The transaction is about to write to these; the first of them begins it."""

    producer: ProducerIdentity
    partitions: frozenset[TopicPartition] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class End:
    producer: ProducerIdentity
    commit: bool
    bumps_epoch: bool = False
    """Every transaction gets an epoch of its own, so a late message meets none but its own."""
    fresh_producer_id: int = -1
