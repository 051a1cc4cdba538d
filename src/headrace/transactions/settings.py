"""The bounds that transactional ids live in. Times in ms."""

from dataclasses import dataclass

__all__ = ["TransactionSettings"]


@dataclass(frozen=True, slots=True)
class TransactionSettings:
    timeout_ms_max: int = 15 * 60 * 1000
    """The longest transaction a producer may ask for (Kafka: transaction.max.timeout.ms)."""
    id_expiration_ms: int = 7 * 24 * 3600 * 1000
    """A transactional id without a transaction is forgotten after so long
    (transactional.id.expiration.ms)."""
    timeout_check_ms: int = 1000
    """Between two looks for transactions that take too long."""
    ids_max: int = 100_000
    """Transactional ids, one kilobyte each or so."""
    id_length_max: int = 1000
    """Characters of a transactional id."""
    partitions_max: int = 10_000
    """Partitions of one transaction, and groups."""
