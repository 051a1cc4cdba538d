"""InitProducerId (key 22), versions 0-6.

- an idempotent producer (transactional id null) always gets a new id with epoch 0, as in Kafka,
  also when it names the id and epoch it had (version 3 on): those are its own to bump (KIP-360)
- with a transactional id: the id's producer gets the next epoch, which fences the one before; the
  transaction that one left open is aborted first, and this waits for it
- v3 who names the id and epoch it has is fenced unless they are the last ones; asking again after
  a lost answer gives the same answer
- v4 PRODUCER_FENCED, before that INVALID_PRODUCER_EPOCH
- the id is empty: INVALID_REQUEST
- v6 transactions without a timeout, and keeping the one that is open, whose id and epoch are told
  (KIP-939); it can only be ended, by who kept it last. TRANSACTIONAL_ID_AUTHORIZATION_FAILED unless
  `transaction.two.phase.commit.enable` is set
"""

from headrace.broker.transaction_requests import Init, ProducerIdentity
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.fencing import code_for
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k22_init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)


async def handle(context: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
    try:
        producer = await _producer(context, request)
    except RequestError as error:
        code = code_for(error, context.api_version, since=4)
        return InitProducerIdResponse(error_code=code, producer_epoch=-1)
    answer = InitProducerIdResponse(producer_id=producer.producer_id, producer_epoch=producer.epoch)
    if request.keep_prepared_txn and request.transactional_id is not None:
        record = context.broker.transactions.record(request.transactional_id)
        if record is not None and record.is_kept:
            answer.ongoing_txn_producer_id = record.producer_id
            answer.ongoing_txn_producer_epoch = record.transaction_epoch
    return answer


async def _producer(context: RequestContext, request: InitProducerIdRequest) -> ProducerIdentity:
    if request.transactional_id is None:
        return ProducerIdentity(await context.broker.producer_ids.next(), 0)
    if (request.producer_id < 0) != (request.producer_epoch < 0):
        raise RequestError(ErrorCode.INVALID_REQUEST, "a producer id goes with an epoch")
    is_allowed = context.broker.configs.boolean("transaction.two.phase.commit.enable")
    if (request.enable2_pc or request.keep_prepared_txn) and not is_allowed:
        raise RequestError(
            ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "transaction.two.phase.commit.enable is not set",
        )
    return await context.broker.transactions.init(
        request.transactional_id,
        Init(
            request.transaction_timeout_ms,
            ProducerIdentity(request.producer_id, request.producer_epoch),
            request.enable2_pc,
            request.keep_prepared_txn,
        ),
    )


API = Api(ApiKey.INIT_PRODUCER_ID, versions=(0, 6), request=InitProducerIdRequest, handle=handle)
