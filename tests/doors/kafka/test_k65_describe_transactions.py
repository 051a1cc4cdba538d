from headrace.broker.transaction_requests import End
from headrace.doors.kafka.k65_describe_transactions import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k65_describe_transactions import DescribeTransactionsRequest


def test_a_transaction_is_described_while_it_lasts(with_transaction):
    async def body(asker, transactor):
        async def describe():
            request = DescribeTransactionsRequest(["x", "nobody"])
            found, missing = (await asker.ask(API, 0, request)).transaction_states
            assert missing.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
            assert (found.error_code, found.transaction_timeout_ms) == (0, 60_000)
            topics = [(topic.topic, topic.partitions) for topic in found.topics]
            return found.transaction_state, found.transaction_start_time_ms > 0, topics

        assert await describe() == ("Ongoing", True, [("t", [0, 1])])
        await asker.broker.transactions.end("x", End(transactor.producer, True))
        assert await describe() == ("CompleteCommit", False, [])

    with_transaction(body)
