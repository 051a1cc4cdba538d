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


def test_transactions_are_refused(with_broker):
    async def body(asker):
        answer = await asker.ask(API, 4, InitProducerIdRequest(transactional_id="mine"))
        assert answer.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        assert (answer.producer_id, answer.producer_epoch) == (-1, -1)

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
