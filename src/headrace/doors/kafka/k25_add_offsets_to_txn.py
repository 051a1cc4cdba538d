"""AddOffsetsToTxn (key 25), versions 0-4.

- answered when the group is durably part of the transaction; the group need not exist
- v2 PRODUCER_FENCED, before that INVALID_PRODUCER_EPOCH
"""

from headrace.broker.transaction_requests import Add, ProducerIdentity
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.fencing import code_for
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k25_add_offsets_to_txn import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
)


async def handle(
    context: RequestContext, request: AddOffsetsToTxnRequest
) -> AddOffsetsToTxnResponse:
    producer = ProducerIdentity(request.producer_id, request.producer_epoch)
    try:
        context.broker.groups.check_group_id(request.group_id)
        await context.broker.transactions.add(
            request.transactional_id, Add(producer, groups=frozenset({request.group_id}))
        )
    except RequestError as error:
        return AddOffsetsToTxnResponse(error_code=code_for(error, context.api_version, since=2))
    return AddOffsetsToTxnResponse()


API = Api(ApiKey.ADD_OFFSETS_TO_TXN, versions=(0, 4), request=AddOffsetsToTxnRequest, handle=handle)
