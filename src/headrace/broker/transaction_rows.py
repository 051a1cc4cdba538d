"""A transactional id as the catalog keeps it, and back."""

from headrace.catalog.schema import CatalogError
from headrace.catalog.transactions import TransactionRow
from headrace.transactions.record import TransactionRecord
from headrace.transactions.states import State

__all__ = ["record_of", "row_of"]


def row_of(record: TransactionRecord) -> TransactionRow:
    return TransactionRow(
        transactional_id=record.transactional_id,
        producer_id=record.producer_id,
        epoch=record.epoch,
        last_epoch=record.last_epoch,
        previous_producer_id=record.previous_producer_id,
        next_producer_id=record.next_producer_id,
        timeout_ms=record.timeout_ms,
        state=record.state.value,
        partitions=record.partitions,
        groups=record.groups,
        transaction_epoch=record.transaction_epoch,
        two_phase=record.two_phase,
        started_ms=record.started_ms,
        updated_ms=record.updated_ms,
    )


def record_of(row: TransactionRow) -> TransactionRecord:
    """Raises CatalogError."""
    try:
        state = State(row.state)
    except ValueError as error:
        raise CatalogError(f"transaction {row.transactional_id!r}: {error}") from error
    return TransactionRecord(
        transactional_id=row.transactional_id,
        producer_id=row.producer_id,
        epoch=row.epoch,
        timeout_ms=row.timeout_ms,
        state=state,
        last_epoch=row.last_epoch,
        previous_producer_id=row.previous_producer_id,
        next_producer_id=row.next_producer_id,
        partitions=frozenset(row.partitions),
        groups=frozenset(row.groups),
        transaction_epoch=row.transaction_epoch,
        two_phase=row.two_phase,
        started_ms=row.started_ms,
        updated_ms=row.updated_ms,
    )
