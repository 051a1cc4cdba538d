"""EndTxn (key 26), versions 0-5.

- answered when every partition has its marker and every group its offsets, durably, so that what
  was committed can be read then; if that takes long, when it is decided (see the coordinator)
- v2 PRODUCER_FENCED, before that INVALID_PRODUCER_EPOCH
- v5 every transaction has its own epoch (KIP-890): the answer has the next one, and asking again
  after a lost answer gives the same answer; aborting what was never begun is fine
"""

from headrace.broker.transaction_requests import End, ProducerIdentity
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.fencing import code_for
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k26_end_txn import EndTxnRequest, EndTxnResponse

_BUMPS_EPOCH_VERSION = 5


async def handle(context: RequestContext, request: EndTxnRequest) -> EndTxnResponse:
    end = End(
        ProducerIdentity(request.producer_id, request.producer_epoch),
        request.committed,
        bumps_epoch=context.api_version >= _BUMPS_EPOCH_VERSION,
    )
    try:
        producer = await context.broker.transactions.end(request.transactional_id, end)
    except RequestError as error:
        return EndTxnResponse(error_code=code_for(error, context.api_version, since=2))
    return EndTxnResponse(producer_id=producer.producer_id, producer_epoch=producer.epoch)


API = Api(ApiKey.END_TXN, versions=(0, 5), request=EndTxnRequest, handle=handle)
