"""DescribeTransactions (key 65), version 0.

- an id that nobody has: TRANSACTIONAL_ID_NOT_FOUND, one of another worker: NOT_COORDINATOR
- groups of a transaction are not shown, as there is no field for them
"""

from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k65_describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)


async def handle(
    context: RequestContext, request: DescribeTransactionsRequest
) -> DescribeTransactionsResponse:
    return DescribeTransactionsResponse(
        transaction_states=[_described(context, id_) for id_ in request.transactional_ids]
    )


def _described(context: RequestContext, transactional_id: str) -> TransactionState:
    try:
        context.broker.transactions.check_mine(transactional_id)
    except RequestError as error:
        return TransactionState(error_code=error.code, transactional_id=transactional_id)
    found = context.broker.transactions.record(transactional_id)
    if found is None:
        return TransactionState(
            error_code=ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, transactional_id=transactional_id
        )
    topics: dict[str, list[int]] = {}
    for topic, index in sorted(found.partitions):
        topics.setdefault(topic, []).append(index)
    return TransactionState(
        transactional_id=transactional_id,
        transaction_state=found.state.value,
        transaction_timeout_ms=found.timeout_ms,
        transaction_start_time_ms=found.started_ms,
        producer_id=found.producer_id,
        producer_epoch=found.epoch,
        topics=[TopicData(topic, indexes) for topic, indexes in topics.items()],
    )


API = Api(
    ApiKey.DESCRIBE_TRANSACTIONS,
    versions=(0, 0),
    request=DescribeTransactionsRequest,
    handle=handle,
)
