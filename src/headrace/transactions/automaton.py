"""What a transactional id answers, and what becomes of it.

Each function is one step: it returns the record to be made durable (the same one when nothing
changed) and the answer, or raises RequestError and changes nothing. The rules are those of KIP-98
with KIP-360 (repeated InitProducerId), KIP-588, KIP-890 (an epoch for every transaction) and
KIP-939 (a transaction that is kept until its producer's successor ends it).

Epochs go up to EPOCH_LAST; the one above is for markers and fences only, after which the producer
goes on under a new id.
"""

from dataclasses import replace
from typing import Final, NamedTuple

from headrace.transactions.record import (
    NO_PRODUCER,
    ProducerIdentity,
    TopicPartition,
    TransactionRecord,
)
from headrace.transactions.requests import Add, End, Init
from headrace.transactions.settings import TransactionSettings
from headrace.transactions.states import AT_REST, PREPARED, State
from headrace.wire.errors import ErrorCode, RequestError

__all__ = [
    "EPOCH_LAST",
    "Step",
    "add",
    "check_producer",
    "check_write",
    "complete",
    "end",
    "init",
    "is_expired",
    "is_overdue",
    "needs_fresh_id",
    "time_out",
]

EPOCH_LAST: Final = 32766

_PREPARE: Final = {True: State.PREPARE_COMMIT, False: State.PREPARE_ABORT}
_COMPLETE: Final = {True: State.COMPLETE_COMMIT, False: State.COMPLETE_ABORT}


class Step(NamedTuple):
    record: TransactionRecord
    answer: ProducerIdentity | None
    """None: complete the transaction, then ask again."""


def needs_fresh_id(record: TransactionRecord | None) -> bool:
    """Whether the next `init` or `end` may need an id that nobody has."""
    return record is None or record.epoch >= EPOCH_LAST


def init(
    transactional_id: str,
    record: TransactionRecord | None,
    request: Init,
    now_ms: int,
    settings: TransactionSettings,
) -> Step:
    """A producer's id and epoch; whoever had them before is fenced, and the transaction it may
    have left open is aborted first.

    Raises RequestError: INVALID_TRANSACTION_TIMEOUT, PRODUCER_FENCED when `expected` is another's,
    CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE for a transaction that can be kept no more.
    """
    if not request.two_phase and not 0 < request.timeout_ms <= settings.timeout_ms_max:
        raise RequestError(
            ErrorCode.INVALID_TRANSACTION_TIMEOUT,
            f"a transaction may take 1 to {settings.timeout_ms_max} ms (transaction.max.timeout.ms)"
            f", not {request.timeout_ms}",
        )
    if record is None:
        made = TransactionRecord(
            transactional_id,
            request.fresh_producer_id,
            0,
            request.timeout_ms,
            two_phase=request.two_phase,
            updated_ms=now_ms,
        )
        return Step(made, made.producer)
    expected = request.expected
    is_repeated = _check_expected(record, expected)
    if record.state in PREPARED:
        raise _completing(record)
    if record.state is State.ONGOING and request.keeps_prepared:
        kept = _kept(record, request, now_ms)
        return Step(kept, kept.producer)
    if record.state is State.ONGOING:
        return Step(_fenced(record, now_ms, -1 if expected == NO_PRODUCER else record.epoch), None)
    begun = replace(
        record,
        state=State.EMPTY,
        timeout_ms=request.timeout_ms,
        two_phase=request.two_phase,
        updated_ms=now_ms,
    )
    if not is_repeated:
        begun = _bumped(begun, is_own=expected != NO_PRODUCER, fresh=request.fresh_producer_id)
    return Step(begun, begun.producer)


def add(
    record: TransactionRecord | None, request: Add, now_ms: int, settings: TransactionSettings
) -> Step:
    """Raises RequestError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS,
    INVALID_TXN_STATE for a transaction that is kept, POLICY_VIOLATION for too many partitions."""
    record = check_producer(record, request.producer)
    if record.state in PREPARED:
        raise _completing(record)
    if record.is_kept:
        raise RequestError(
            ErrorCode.INVALID_TXN_STATE,
            f"{record.transactional_id!r} has a prepared transaction, which can only be ended",
        )
    if record.state is State.ONGOING:
        if request.partitions <= record.partitions and request.groups <= record.groups:
            return Step(record, record.producer)
        partitions = record.partitions | request.partitions
        groups = record.groups | request.groups
        begun = record
    else:
        partitions, groups = request.partitions, request.groups
        begun = replace(
            record,
            state=State.ONGOING,
            last_epoch=-1,
            transaction_epoch=record.epoch,
            started_ms=now_ms,
        )
    if len(partitions) + len(groups) > settings.partitions_max:
        raise RequestError(
            ErrorCode.POLICY_VIOLATION,
            f"a transaction has at most {settings.partitions_max} partitions and groups",
        )
    return Step(
        replace(begun, partitions=partitions, groups=groups, updated_ms=now_ms), record.producer
    )


def end(record: TransactionRecord | None, request: End, now_ms: int) -> Step:
    """The answer is who the producer is from now on.

    Raises RequestError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE,
    CONCURRENT_TRANSACTIONS.
    """
    if record is not None and request.bumps_epoch and _is_repeated_end(record, request.producer):
        if record.state is _COMPLETE[request.commit]:
            if record.epoch > EPOCH_LAST:  # it took too long in the last epoch
                record = _bumped(record, is_own=False, fresh=request.fresh_producer_id)
            return Step(record, record.producer)
        if record.state is _PREPARE[request.commit]:
            raise _completing(record)
        if record.state in (State.ONGOING, State.EMPTY):
            raise _fenced_out(record, request.producer)
        raise _wrong_state(record, request)
    record = check_producer(record, request.producer)
    if record.state is State.ONGOING:
        return _prepare(record, request, now_ms)
    if request.bumps_epoch and record.state in AT_REST and not request.commit:
        # Nothing was ever written to it, so it is complete at once.
        aborted = replace(record, state=State.COMPLETE_ABORT, updated_ms=now_ms)
        bumped = _bumped(aborted, is_own=False, fresh=request.fresh_producer_id)
        return Step(bumped, bumped.producer)
    if not request.bumps_epoch and record.state is _COMPLETE[request.commit]:
        return Step(record, record.producer)
    if record.state is _PREPARE[request.commit]:
        raise _completing(record)
    raise _wrong_state(record, request)


def complete(record: TransactionRecord, now_ms: int) -> TransactionRecord:
    """Every partition and group of a prepared transaction has been told."""
    done = replace(
        record,
        state=_COMPLETE[record.state is State.PREPARE_COMMIT],
        partitions=frozenset(),
        groups=frozenset(),
        transaction_epoch=-1,
        started_ms=-1,
        updated_ms=now_ms,
    )
    if record.next_producer_id < 0:
        return done
    return replace(
        done,
        producer_id=record.next_producer_id,
        epoch=0,
        previous_producer_id=record.producer_id,
        next_producer_id=-1,
    )


def time_out(record: TransactionRecord, now_ms: int) -> TransactionRecord:
    """An ongoing transaction is aborted, and its producer fenced."""
    return _fenced(record, now_ms, -1)


def is_overdue(record: TransactionRecord, open_ms: int) -> bool:
    """Whether the transaction, open for so long, takes longer than its producer said it may."""
    if record.state is not State.ONGOING or record.two_phase:
        return False
    return open_ms >= record.timeout_ms


def is_expired(record: TransactionRecord, now_ms: int, settings: TransactionSettings) -> bool:
    """Whether nobody has used the id for so long that it need not be kept."""
    return record.state in AT_REST and now_ms - record.updated_ms >= settings.id_expiration_ms


def check_producer(
    record: TransactionRecord | None, producer: ProducerIdentity
) -> TransactionRecord:
    """The record, if `producer` is its producer.

    Raises RequestError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED.
    """
    if record is None or record.producer_id != producer.producer_id:
        raise RequestError(
            ErrorCode.INVALID_PRODUCER_ID_MAPPING,
            f"producer {producer.producer_id} does not have this transactional id",
        )
    if record.epoch != producer.epoch:
        raise _fenced_out(record, producer)
    return record


def check_write(
    record: TransactionRecord | None, producer: ProducerIdentity, partition: TopicPartition
) -> None:
    """Whether the producer may write to the partition, as far as its transaction goes.

    Raises RequestError: INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE.
    """
    try:
        record = check_producer(record, producer)
    except RequestError as error:
        if error.code is ErrorCode.PRODUCER_FENCED:
            raise RequestError(ErrorCode.INVALID_PRODUCER_EPOCH, error.message) from None
        raise
    if record.state is not State.ONGOING or partition not in record.partitions or record.is_kept:
        raise RequestError(
            ErrorCode.INVALID_TXN_STATE,
            f"{record.transactional_id!r} has no transaction with {partition[0]}-{partition[1]}",
        )


def _prepare(record: TransactionRecord, request: End, now_ms: int) -> Step:
    prepared = replace(record, state=_PREPARE[request.commit], updated_ms=now_ms)
    if not request.bumps_epoch:
        return Step(prepared, prepared.producer)
    if record.epoch < EPOCH_LAST:
        prepared = replace(prepared, epoch=record.epoch + 1)
        return Step(prepared, prepared.producer)
    fresh = request.fresh_producer_id
    prepared = replace(prepared, epoch=record.epoch + 1, next_producer_id=fresh)
    return Step(prepared, ProducerIdentity(fresh, 0))


def _fenced(record: TransactionRecord, now_ms: int, last_epoch: int) -> TransactionRecord:
    """The transaction is to be aborted under an epoch that its producer does not have."""
    return replace(
        record,
        state=State.PREPARE_ABORT,
        epoch=record.epoch + 1,
        last_epoch=last_epoch,
        updated_ms=now_ms,
    )


def _kept(record: TransactionRecord, request: Init, now_ms: int) -> TransactionRecord:
    """The transaction stays; who wrote it is fenced, and its successor may end it."""
    if record.epoch >= EPOCH_LAST:
        raise RequestError(
            ErrorCode.INVALID_TXN_STATE,
            f"the epochs of {record.transactional_id!r} are used up: its transaction can only be "
            "aborted, by a producer that does not keep it",
        )
    return replace(
        record,
        epoch=record.epoch + 1,
        last_epoch=-1,
        timeout_ms=request.timeout_ms,
        two_phase=request.two_phase,
        updated_ms=now_ms,
    )


def _bumped(record: TransactionRecord, *, is_own: bool, fresh: int) -> TransactionRecord:
    last_epoch = record.epoch if is_own else -1
    if record.epoch < EPOCH_LAST:
        return replace(record, epoch=record.epoch + 1, last_epoch=last_epoch)
    return replace(
        record,
        producer_id=fresh,
        epoch=0,
        last_epoch=last_epoch,
        previous_producer_id=record.producer_id,
    )


def _check_expected(record: TransactionRecord, expected: ProducerIdentity) -> bool:
    """Whether what `expected` asks for was done, and its answer lost. Raises RequestError."""
    if expected == NO_PRODUCER:
        return False
    if expected.producer_id == record.producer_id:
        if expected.epoch == record.epoch:
            return False
        if 0 <= expected.epoch == record.last_epoch:
            return record.epoch <= EPOCH_LAST
    elif expected == (record.previous_producer_id, EPOCH_LAST) and record.epoch == 0:
        return True
    raise _fenced_out(record, expected)


def _is_repeated_end(record: TransactionRecord, producer: ProducerIdentity) -> bool:
    """Whether the producer ended a transaction in this epoch, and did not hear of the next."""
    if record.producer_id == producer.producer_id:
        return record.epoch == producer.epoch + 1
    return (
        record.previous_producer_id == producer.producer_id
        and producer.epoch == EPOCH_LAST
        and record.epoch == 0
    )


def _fenced_out(record: TransactionRecord, producer: ProducerIdentity) -> RequestError:
    return RequestError(
        ErrorCode.PRODUCER_FENCED,
        f"epoch {producer.epoch} of {record.transactional_id!r} is fenced, the producer that has "
        f"it now has epoch {record.epoch}",
    )


def _completing(record: TransactionRecord) -> RequestError:
    return RequestError(
        ErrorCode.CONCURRENT_TRANSACTIONS,
        f"the last transaction of {record.transactional_id!r} is being completed",
    )


def _wrong_state(record: TransactionRecord, request: End) -> RequestError:
    what = "commit" if request.commit else "abort"
    return RequestError(
        ErrorCode.INVALID_TXN_STATE,
        f"{record.transactional_id!r} cannot {what}, it is in state {record.state.value}",
    )
