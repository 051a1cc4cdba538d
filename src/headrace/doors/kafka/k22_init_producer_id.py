"""InitProducerId (key 22), versions 0-5.

- an idempotent producer (transactional id null) always gets a new id with epoch 0, as in Kafka,
  also when it names the id and epoch it had (version 3 on): those are its own to bump (KIP-360)
- a transactional id is refused: transactions are not built
"""

from typing import Final

from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k22_init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)

_NO_TRANSACTIONS: Final = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
"""On this code librdkafka, kafka-python and aiokafka all give up at once; after UNSUPPORTED_VERSION
or INVALID_REQUEST librdkafka asks again until its caller's time is over."""


async def handle(context: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
    if request.transactional_id is not None:
        return InitProducerIdResponse(error_code=_NO_TRANSACTIONS, producer_epoch=-1)
    try:
        producer_id = await context.broker.producer_ids.next()
    except RequestError as error:
        return InitProducerIdResponse(error_code=error.code, producer_epoch=-1)
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)


API = Api(ApiKey.INIT_PRODUCER_ID, versions=(0, 5), request=InitProducerIdRequest, handle=handle)
