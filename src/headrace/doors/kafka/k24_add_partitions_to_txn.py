"""AddPartitionsToTxn (key 24), versions 0-5.

- answered when the partitions are durably part of the transaction
- an unknown partition: UNKNOWN_TOPIC_OR_PARTITION, and OPERATION_NOT_ATTEMPTED for the others
- v2 PRODUCER_FENCED, before that INVALID_PRODUCER_EPOCH
- v4 many transactions at once, or only whether partitions are in them: INVALID_TXN_STATE if not,
  from v5 on TRANSACTION_ABORTABLE; clients do not send these
"""

from collections.abc import Callable
from functools import partial

from headrace.broker.transaction_requests import Add, ProducerIdentity
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.fencing import code_for
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k24_add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)

CodeOf = Callable[[str, int], ErrorCode]


async def handle(
    context: RequestContext, request: AddPartitionsToTxnRequest
) -> AddPartitionsToTxnResponse:
    if context.api_version >= 4:
        results = await side_by_side(partial(_transaction, context), request.transactions)
        return AddPartitionsToTxnResponse(results_by_transaction=results)
    transaction = AddPartitionsToTxnTransaction(
        request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id,
        request.v3_and_below_producer_epoch,
        topics=request.v3_and_below_topics,
    )
    result = await _transaction(context, transaction)
    return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=result.topic_results)


async def _transaction(
    context: RequestContext, asked: AddPartitionsToTxnTransaction
) -> AddPartitionsToTxnResult:
    code_of = _verify(context, asked) if asked.verify_only else await _add(context, asked)
    return AddPartitionsToTxnResult(
        transactional_id=asked.transactional_id,
        topic_results=[
            AddPartitionsToTxnTopicResult(
                name=topic.name,
                results_by_partition=[
                    AddPartitionsToTxnPartitionResult(index, code_of(topic.name, index))
                    for index in topic.partitions
                ],
            )
            for topic in asked.topics
        ],
    )


async def _add(context: RequestContext, asked: AddPartitionsToTxnTransaction) -> CodeOf:
    pairs = {(topic.name, index) for topic in asked.topics for index in topic.partitions}
    unknown = {pair for pair in pairs if not context.broker.topics.has_partition(*pair)}
    if unknown:
        return lambda topic, index: (
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            if (topic, index) in unknown
            else ErrorCode.OPERATION_NOT_ATTEMPTED
        )
    code = ErrorCode.NONE
    try:
        producer = ProducerIdentity(asked.producer_id, asked.producer_epoch)
        await context.broker.transactions.add(
            asked.transactional_id, Add(producer, partitions=frozenset(pairs))
        )
    except RequestError as error:
        code = code_for(error, context.api_version, since=2)
    return lambda topic, index: code


def _verify(context: RequestContext, asked: AddPartitionsToTxnTransaction) -> CodeOf:
    producer = ProducerIdentity(asked.producer_id, asked.producer_epoch)

    def code_of(topic: str, index: int) -> ErrorCode:
        try:
            context.broker.transactions.check_write(
                asked.transactional_id, producer, (topic, index)
            )
        except RequestError as error:
            if error.code is ErrorCode.INVALID_TXN_STATE and context.api_version >= 5:
                return ErrorCode.TRANSACTION_ABORTABLE
            return error.code
        return ErrorCode.NONE

    return code_of


API = Api(
    ApiKey.ADD_PARTITIONS_TO_TXN,
    versions=(0, 5),
    request=AddPartitionsToTxnRequest,
    handle=handle,
)
