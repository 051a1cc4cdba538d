from headrace.broker.transaction_requests import End
from headrace.doors.kafka.k61_describe_producers import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k61_describe_producers import DescribeProducersRequest, TopicRequest


def test_producers_and_their_open_transactions_are_shown(with_transaction):
    async def body(asker, transactor):
        async def describe():
            request = DescribeProducersRequest([TopicRequest("t", [0, 9])])
            (topic,) = (await asker.ask(API, 0, request)).topics
            known, unknown = topic.partitions
            assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            (seen,) = known.active_producers
            return seen.last_sequence, seen.coordinator_epoch, seen.current_txn_start_offset

        await transactor.write(0)
        await transactor.write(0)
        assert await describe() == (1, -1, 0)
        await asker.broker.transactions.end("x", End(transactor.producer, True))
        assert await describe() == (1, 0, -1)

    with_transaction(body)
