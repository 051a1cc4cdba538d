from unittest import mock

import pytest

from headrace.broker.transaction_requests import End, ProducerIdentity
from headrace.doors.kafka.k22_init_producer_id import API
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k22_init_producer_id import InitProducerIdRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_producer_gets_an_id_of_its_own(with_broker, version):
    async def body(asker):
        request = InitProducerIdRequest(transactional_id=None)
        answers = [await asker.ask(API, version, request) for _ in range(3)]
        assert {(a.error_code, a.producer_epoch) for a in answers} == {(0, 0)}
        assert len({a.producer_id for a in answers}) == 3
        return {a.producer_id for a in answers}

    assert not with_broker(body) & with_broker(body)


def test_a_producer_that_names_its_id_gets_a_new_one(with_broker):
    async def body(asker):
        first = await asker.ask(API, 4, InitProducerIdRequest(transactional_id=None))
        request = InitProducerIdRequest(
            transactional_id=None, producer_id=first.producer_id, producer_epoch=0
        )
        second = await asker.ask(API, 4, request)
        assert (second.error_code, second.producer_epoch) == (0, 0)
        assert second.producer_id != first.producer_id

    with_broker(body)


def transactional(asker, version, **fields):
    plain = {"transactional_id": "x", "transaction_timeout_ms": 1000}
    return asker.ask(API, version, InitProducerIdRequest(**(plain | fields)))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_transactional_id_keeps_its_producer_and_counts_epochs(with_broker, version):
    async def body(asker):
        answer = await transactional(asker, version)
        return answer.error_code, answer.producer_id, answer.producer_epoch

    first, second = with_broker(body), with_broker(body)
    assert first == (0, first[1], 0)
    assert second == (0, first[1], 1)


@pytest.mark.parametrize(
    ("version", "code"), [(3, ErrorCode.INVALID_PRODUCER_EPOCH), (4, ErrorCode.PRODUCER_FENCED)]
)
def test_an_older_epoch_is_fenced(with_broker, version, code):
    async def body(asker):
        old = await transactional(asker, 4)
        for _ in range(2):
            new = await transactional(asker, 4)
        mine = {"producer_id": old.producer_id}
        again = await transactional(asker, version, **mine, producer_epoch=new.producer_epoch)
        assert (again.error_code, again.producer_epoch) == (0, new.producer_epoch + 1)
        fenced = await transactional(asker, version, **mine, producer_epoch=0)
        assert (fenced.error_code, fenced.producer_id, fenced.producer_epoch) == (code, -1, -1)

    with_broker(body)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"transactional_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"transactional_id": "x" * 1001}, ErrorCode.INVALID_REQUEST),
        ({"producer_id": 5}, ErrorCode.INVALID_REQUEST),
        ({"transaction_timeout_ms": 0}, ErrorCode.INVALID_TRANSACTION_TIMEOUT),
        ({"transaction_timeout_ms": 900_001}, ErrorCode.INVALID_TRANSACTION_TIMEOUT),
    ],
)
def test_what_cannot_be_is_refused(with_broker, fields, code):
    async def body(asker):
        answer = await transactional(asker, 4, **fields)
        assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (code, -1, -1)

    with_broker(body)


def test_two_phase_commit_must_be_allowed(with_broker):
    async def body(asker):
        for flag in ("enable2_pc", "keep_prepared_txn"):
            answer = await transactional(asker, 6, **{flag: True})
            assert answer.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED

    with_broker(body)


@pytest.mark.parametrize("commit", [True, False])
def test_a_prepared_transaction_is_kept_over_a_restart_and_ended_by_its_heir(
    with_broker, with_transaction, commit
):
    """with_transaction begins it without two phases; what counts is that it is open."""
    allowed = {"broker_configs": {"transaction.two.phase.commit.enable": "true"}}

    async def write(asker, transactor):
        await transactor.write(0)
        return transactor

    transactor = with_transaction(write)

    async def keep(asker):
        transactor.broker = asker.broker
        kept = await transactional(asker, 6, enable2_pc=True, keep_prepared_txn=True)
        assert (kept.error_code, kept.producer_epoch) == (0, 1)
        ongoing = kept.ongoing_txn_producer_id, kept.ongoing_txn_producer_epoch
        assert ongoing == (transactor.producer.producer_id, 0)
        with pytest.raises(RequestError, match="epoch 0"):
            await transactor.write(0)  # a zombie
        return ongoing

    ongoing = with_broker(keep, **allowed)

    async def decide(asker):
        transactor.broker = asker.broker
        with pytest.raises(RequestError, match="epoch 0"):
            await transactor.write(0)
        kept = await transactional(asker, 6, enable2_pc=True, keep_prepared_txn=True)
        assert (kept.ongoing_txn_producer_id, kept.ongoing_txn_producer_epoch) == ongoing
        log = asker.broker.topics.partition("t", 0).log
        assert log.offsets()[1:3] == (0, 1)
        producer = ProducerIdentity(kept.producer_id, kept.producer_epoch)
        await asker.broker.transactions.end("x", End(producer, commit))
        assert log.offsets()[1:3] == (2, 2)
        assert bool(log.aborted_between(0, 2)) is not commit
        nothing = await transactional(asker, 6, enable2_pc=True, keep_prepared_txn=True)
        assert (nothing.error_code, nothing.ongoing_txn_producer_id) == (0, -1)

    with_broker(decide, **allowed)


def test_a_full_disk_is_an_error_not_a_reused_id(with_broker):
    async def body(asker):
        full = RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "full")
        with mock.patch.object(asker.broker.catalog.producer_ids, "reserve", side_effect=full):
            answer = await asker.ask(API, 4, InitProducerIdRequest(transactional_id=None))
        assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR
        assert (
            await asker.ask(API, 4, InitProducerIdRequest(transactional_id=None))
        ).error_code == 0

    with_broker(body)
