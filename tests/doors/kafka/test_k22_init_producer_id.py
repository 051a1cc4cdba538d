from dataclasses import replace
from unittest import mock

import pytest

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
    request = InitProducerIdRequest(
        transactional_id="x", transaction_timeout_ms=1000, producer_id=-1, producer_epoch=-1
    )
    return asker.ask(API, version, replace(request, **fields))


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
