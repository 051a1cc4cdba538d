"""What one transactional id answers: KIP-98, KIP-360 and KIP-890, case by case."""

from dataclasses import replace

import pytest

from headrace.transactions import automaton
from headrace.transactions.automaton import EPOCH_LAST, Step
from headrace.transactions.record import NO_PRODUCER, ProducerIdentity, TransactionRecord
from headrace.transactions.requests import Add, End, Init
from headrace.transactions.settings import TransactionSettings
from headrace.transactions.states import FOLLOWING, State
from headrace.wire.errors import ErrorCode, RequestError

SETTINGS = TransactionSettings()
T0 = ("t", 0)


def record(state: State = State.EMPTY, **fields: object) -> TransactionRecord:
    made = TransactionRecord("x", 7, 3, 60_000, state, updated_ms=1)
    if state not in (State.EMPTY, State.COMPLETE_ABORT, State.COMPLETE_COMMIT):
        made = replace(made, partitions=frozenset({T0}), transaction_epoch=3, started_ms=1)
    return replace(made, **fields)  # type: ignore[arg-type]


def init(before: TransactionRecord | None, expected: ProducerIdentity = NO_PRODUCER) -> Step:
    return automaton.init("x", before, Init(60_000, expected, fresh_producer_id=99), 10, SETTINGS)


def end(
    before: TransactionRecord, epoch: int, commit: bool, *, bumps: bool, producer_id: int = 7
) -> Step:
    request = End(ProducerIdentity(producer_id, epoch), commit, bumps, fresh_producer_id=99)
    return automaton.end(before, request, 10)


def code_of(call, *arguments, **named) -> ErrorCode:
    with pytest.raises(RequestError) as refusal:
        call(*arguments, **named)
    return refusal.value.code


def test_the_first_producer_gets_a_fresh_id_and_the_next_one_the_next_epoch():
    first = init(None)
    assert (first.answer, first.record.state) == (ProducerIdentity(99, 0), State.EMPTY)
    assert init(first.record).answer == ProducerIdentity(99, 1)


@pytest.mark.parametrize("timeout_ms", [0, -1, SETTINGS.timeout_ms_max + 1])
def test_a_timeout_out_of_bounds_is_refused(timeout_ms):
    code = code_of(automaton.init, "x", None, Init(timeout_ms), 10, SETTINGS)
    assert code is ErrorCode.INVALID_TRANSACTION_TIMEOUT


def test_a_new_producer_has_the_open_transaction_aborted_first():
    fenced = init(record(State.ONGOING))
    assert fenced.answer is None
    assert (fenced.record.state, fenced.record.epoch) == (State.PREPARE_ABORT, 4)
    assert code_of(init, fenced.record) is ErrorCode.CONCURRENT_TRANSACTIONS
    done = automaton.complete(fenced.record, 11)
    assert (done.state, done.partitions, done.started_ms) == (State.COMPLETE_ABORT, frozenset(), -1)
    assert init(done).answer == ProducerIdentity(7, 5)


def test_who_it_was_gets_the_next_epoch_and_the_same_again():
    bumped = init(record(), ProducerIdentity(7, 3))
    assert bumped.answer == ProducerIdentity(7, 4)
    assert init(bumped.record, ProducerIdentity(7, 3)).answer == ProducerIdentity(7, 4)
    assert code_of(init, bumped.record, ProducerIdentity(7, 2)) is ErrorCode.PRODUCER_FENCED
    assert code_of(init, bumped.record, ProducerIdentity(8, 4)) is ErrorCode.PRODUCER_FENCED


def test_who_it_was_may_also_abort_its_own_open_transaction():
    fenced = init(record(State.ONGOING), ProducerIdentity(7, 3))
    done = automaton.complete(fenced.record, 11)
    assert init(done, ProducerIdentity(7, 3)).answer == ProducerIdentity(7, 4)


def test_a_transaction_begun_since_fences_a_repeated_init():
    bumped = init(record(), ProducerIdentity(7, 3)).record
    begun = automaton.add(bumped, Add(bumped.producer, frozenset({T0})), 11, SETTINGS).record
    assert code_of(init, begun, ProducerIdentity(7, 3)) is ErrorCode.PRODUCER_FENCED


def test_used_up_epochs_go_on_under_a_fresh_id():
    last = record(epoch=EPOCH_LAST)
    assert automaton.needs_fresh_id(last)
    rotated = init(last, ProducerIdentity(7, EPOCH_LAST))
    assert rotated.answer == ProducerIdentity(99, 0)
    assert init(rotated.record, ProducerIdentity(7, EPOCH_LAST)).answer == rotated.answer
    prepared = end(record(State.ONGOING, epoch=EPOCH_LAST), EPOCH_LAST, True, bumps=True)
    assert prepared.answer == ProducerIdentity(99, 0)
    assert prepared.record.producer == ProducerIdentity(7, EPOCH_LAST + 1)  # for the markers
    done = automaton.complete(prepared.record, 11)
    assert done.producer == ProducerIdentity(99, 0)
    assert end(done, EPOCH_LAST, True, bumps=True).answer == ProducerIdentity(99, 0)


def test_partitions_are_added_until_the_end_and_only_by_their_producer():
    begun = automaton.add(record(), Add(ProducerIdentity(7, 3), frozenset({T0})), 5, SETTINGS)
    assert (begun.record.state, begun.record.started_ms) == (State.ONGOING, 5)
    again = automaton.add(begun.record, Add(ProducerIdentity(7, 3), frozenset({T0})), 6, SETTINGS)
    assert again.record is begun.record
    more = Add(ProducerIdentity(7, 3), groups=frozenset({"g"}))
    added = automaton.add(begun.record, more, 6, SETTINGS).record
    assert (added.partitions, added.groups, added.started_ms) == ({T0}, {"g"}, 5)
    for producer, code in (
        (ProducerIdentity(7, 2), ErrorCode.PRODUCER_FENCED),
        (ProducerIdentity(8, 3), ErrorCode.INVALID_PRODUCER_ID_MAPPING),
    ):
        assert code_of(automaton.add, added, Add(producer), 7, SETTINGS) is code
    prepared = record(State.PREPARE_COMMIT)
    refused = code_of(automaton.add, prepared, Add(prepared.producer), 7, SETTINGS)
    assert refused is ErrorCode.CONCURRENT_TRANSACTIONS


def test_a_transaction_has_so_many_partitions_and_no_more():
    few = TransactionSettings(partitions_max=1)
    two = frozenset({T0, ("t", 1)})
    refused = code_of(automaton.add, record(), Add(ProducerIdentity(7, 3), two), 5, few)
    assert refused is ErrorCode.POLICY_VIOLATION


OK, BUSY, BAD = ErrorCode.NONE, ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.INVALID_TXN_STATE
FENCED = ErrorCode.PRODUCER_FENCED


@pytest.mark.parametrize(
    ("state", "commit", "before_kip_890", "since", "repeated"),
    [
        (State.EMPTY, True, BAD, BAD, FENCED),
        (State.EMPTY, False, BAD, OK, FENCED),
        (State.ONGOING, True, OK, OK, FENCED),
        (State.ONGOING, False, OK, OK, FENCED),
        (State.PREPARE_COMMIT, True, BUSY, BUSY, BUSY),
        (State.PREPARE_COMMIT, False, BAD, BAD, BAD),
        (State.PREPARE_ABORT, True, BAD, BAD, BAD),
        (State.PREPARE_ABORT, False, BUSY, BUSY, BUSY),
        (State.COMPLETE_COMMIT, True, OK, BAD, OK),
        (State.COMPLETE_COMMIT, False, BAD, OK, BAD),
        (State.COMPLETE_ABORT, True, BAD, BAD, BAD),
        (State.COMPLETE_ABORT, False, OK, OK, OK),
    ],
)
def test_the_end_by_state(state, commit, before_kip_890, since, repeated):
    """`repeated`: by a producer whose last request was answered and the answer lost."""
    for epoch, bumps, expected in (
        (3, False, before_kip_890),
        (3, True, since),
        (2, True, repeated),
    ):
        if expected is not OK:
            assert code_of(end, record(state), epoch, commit, bumps=bumps) is expected
            continue
        after = end(record(state), epoch, commit, bumps=bumps)
        assert after.record.state in FOLLOWING[state] | {state}
        is_new = bumps and epoch == 3
        assert after.answer == ProducerIdentity(7, 4 if is_new else 3)
        assert after.record.epoch == (4 if is_new else 3)


def test_a_late_end_cannot_meet_the_next_transaction():
    """The flaw of KAFKA-17754 is closed for those who speak KIP-890."""
    first = end(record(State.ONGOING), 3, True, bumps=True)
    done = automaton.complete(first.record, 11)
    begun = automaton.add(done, Add(done.producer, frozenset({T0})), 12, SETTINGS).record
    for commit in (True, False):
        assert code_of(end, begun, 3, commit, bumps=True) is FENCED


def test_a_timeout_in_the_last_epoch_leads_to_a_fresh_id():
    """The epoch above the last one is for markers: nobody can write in it, nor end anything."""
    timed_out = automaton.time_out(record(State.ONGOING, epoch=EPOCH_LAST), 60_001)
    before = automaton.complete(timed_out, 60_002)
    for _ in range(2):  # the second time because the answer was lost
        before, answer = end(before, EPOCH_LAST, False, bumps=True)
        assert answer == before.producer == ProducerIdentity(99, 0)


def test_time_is_up_only_for_what_is_ongoing():
    ongoing = record(State.ONGOING)
    assert not automaton.is_overdue(ongoing, 59_999)
    assert automaton.is_overdue(ongoing, 60_000)
    assert not automaton.is_overdue(record(State.PREPARE_COMMIT), 10**9)
    timed_out = automaton.time_out(ongoing, 60_001)
    assert (timed_out.state, timed_out.epoch) == (State.PREPARE_ABORT, 4)
    assert code_of(end, timed_out, 3, True, bumps=False) is FENCED


def test_a_transaction_is_kept_for_its_producers_successors_to_end():
    before = record(State.ONGOING, two_phase=True)
    assert not automaton.is_overdue(before, 10**12)
    request = Init(0, two_phase=True, keeps_prepared=True)
    for epoch in (4, 5):
        kept = automaton.init("x", before, request, 10, SETTINGS)
        assert kept.answer == ProducerIdentity(7, epoch)
        assert (kept.record.state, kept.record.transaction_epoch) == (State.ONGOING, 3)
        assert kept.record.partitions == {T0}
        before = kept.record
    more = Add(ProducerIdentity(7, 5), frozenset({T0}))
    assert code_of(automaton.add, before, more, 11, SETTINGS) is ErrorCode.INVALID_TXN_STATE
    for epoch in (3, 4):
        fenced = code_of(end, before, epoch, True, bumps=False)
        assert fenced is ErrorCode.PRODUCER_FENCED
    done = automaton.complete(end(before, 5, True, bumps=False).record, 12)
    assert (done.state, done.transaction_epoch) == (State.COMPLETE_COMMIT, -1)
    assert automaton.init("x", done, request, 13, SETTINGS).answer == ProducerIdentity(7, 6)


def test_a_transaction_can_be_kept_until_epochs_are_used_up():
    last = record(State.ONGOING, epoch=EPOCH_LAST)
    request = Init(1000, keeps_prepared=True)
    refused = code_of(automaton.init, "x", last, request, 10, SETTINGS)
    assert refused is ErrorCode.INVALID_TXN_STATE


def test_an_id_without_a_transaction_expires():
    late_ms = 1 + SETTINGS.id_expiration_ms
    assert automaton.is_expired(record(), late_ms, SETTINGS)
    assert not automaton.is_expired(record(), late_ms - 1, SETTINGS)
    assert not automaton.is_expired(record(State.ONGOING), late_ms, SETTINGS)


def test_writes_are_for_partitions_of_the_transaction():
    def refused(before, producer, partition=T0):
        return code_of(automaton.check_write, before, ProducerIdentity(*producer), partition)

    automaton.check_write(record(State.ONGOING), ProducerIdentity(7, 3), T0)
    assert refused(record(State.ONGOING), (7, 3), ("t", 1)) is ErrorCode.INVALID_TXN_STATE
    assert refused(record(State.COMPLETE_COMMIT), (7, 3)) is ErrorCode.INVALID_TXN_STATE
    assert refused(record(State.ONGOING), (7, 2)) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert refused(None, (7, 3)) is ErrorCode.INVALID_PRODUCER_ID_MAPPING
