import pytest

from headrace.doors.kafka.k26_end_txn import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k26_end_txn import EndTxnRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("commit", [True, False])
def test_an_answered_end_is_in_the_partitions(with_transaction, version, commit):
    async def body(asker, transactor):
        await transactor.write(0)
        log = asker.broker.topics.partition("t", 0).log
        assert log.offsets()[1:3] == (0, 1)
        answer = await asker.ask(API, version, EndTxnRequest(**transactor.fields, committed=commit))
        bumped = transactor.producer.epoch + 1 if version >= 5 else -1
        assert (answer.error_code, answer.producer_epoch) == (0, bumped)
        assert log.offsets()[1:3] == (2, 2)
        assert bool(log.aborted_between(0, 2)) is not commit
        again = await asker.ask(API, version, EndTxnRequest(**transactor.fields, committed=commit))
        assert (again.error_code, again.producer_epoch) == (0, bumped)
        other = EndTxnRequest(**transactor.fields, committed=not commit)
        refused = await asker.ask(API, version, other)
        assert refused.error_code == ErrorCode.INVALID_TXN_STATE

    with_transaction(body)


@pytest.mark.parametrize(
    ("version", "code"),
    [(1, ErrorCode.INVALID_PRODUCER_EPOCH), (2, ErrorCode.PRODUCER_FENCED)],
)
def test_a_fenced_producer_ends_nothing(with_transaction, version, code):
    async def body(asker, transactor):
        fields = transactor.fields | {"producer_epoch": 9}
        answer = await asker.ask(API, version, EndTxnRequest(**fields, committed=True))
        assert (answer.error_code, answer.producer_id) == (code, -1)

    with_transaction(body)
