import pytest

from headrace.doors.kafka.k24_add_partitions_to_txn import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k24_add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


async def add(asker, version, fields, *topics, verify_only=False):
    """{(topic, partition): code}"""
    asked = [AddPartitionsToTxnTopic(name, list(indexes)) for name, indexes in topics]
    if version >= 4:
        one = AddPartitionsToTxnTransaction(**fields, verify_only=verify_only, topics=asked)
        answer = await asker.ask(API, version, AddPartitionsToTxnRequest(transactions=[one]))
        assert [result.transactional_id for result in answer.results_by_transaction] == ["x"]
        results = answer.results_by_transaction[0].topic_results
    else:
        old = {f"v3_and_below_{name}": value for name, value in fields.items()}
        request = AddPartitionsToTxnRequest(**old, v3_and_below_topics=asked)
        results = (await asker.ask(API, version, request)).results_by_topic_v3_and_below
    return {
        (topic.name, one.partition_index): one.partition_error_code
        for topic in results
        for one in topic.results_by_partition
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_partitions_are_durably_added(with_transaction, version):
    async def body(asker, transactor):
        assert await add(asker, version, transactor.fields, ("t", [2])) == {("t", 2): 0}
        assert ("t", 2) in asker.broker.transactions.record("x").partitions
        (row,) = await asker.broker.catalog.transactions.load_all()
        assert ("t", 2) in row.partitions
        assert (row.state, list(row.groups)) == ("Ongoing", ["g"])

    with_transaction(body)


def test_with_an_unknown_partition_none_is_added(with_transaction):
    async def body(asker, transactor):
        codes = await add(asker, 3, transactor.fields, ("t", [2, 3]), ("gone", [0]))
        assert codes == {
            ("t", 2): ErrorCode.OPERATION_NOT_ATTEMPTED,
            ("t", 3): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            ("gone", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        }
        assert ("t", 2) not in asker.broker.transactions.record("x").partitions

    with_transaction(body)


@pytest.mark.parametrize(
    ("version", "change", "code"),
    [
        (1, {"producer_epoch": 7}, ErrorCode.INVALID_PRODUCER_EPOCH),
        (2, {"producer_epoch": 7}, ErrorCode.PRODUCER_FENCED),
        (3, {"producer_id": 7}, ErrorCode.INVALID_PRODUCER_ID_MAPPING),
        (3, {"transactional_id": "y"}, ErrorCode.INVALID_PRODUCER_ID_MAPPING),
        (3, {"transactional_id": ""}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_another_producer_is_refused(with_transaction, version, change, code):
    async def body(asker, transactor):
        codes = await add(asker, version, transactor.fields | change, ("t", [2]))
        assert codes == {("t", 2): code}

    with_transaction(body)


@pytest.mark.parametrize(
    ("version", "code"),
    [(4, ErrorCode.INVALID_TXN_STATE), (5, ErrorCode.TRANSACTION_ABORTABLE)],
)
def test_brokers_may_ask_without_adding(with_transaction, version, code):
    async def body(asker, transactor):
        topics = ("t", [0, 2])
        codes = await add(asker, version, transactor.fields, topics, verify_only=True)
        assert codes == {("t", 0): 0, ("t", 2): code}
        assert ("t", 2) not in asker.broker.transactions.record("x").partitions

    with_transaction(body)
