"""ListTransactions (key 66), versions 0-2.

- filters are and-ed; states that do not exist are told in the answer and match nothing
- v1 only transactions that have lasted for longer than so many ms
- v2 a regular expression of the whole id: INVALID_REGULAR_EXPRESSION for one that is none, or that
  needs backtracking (see `topic_pattern`)
"""

from headrace.broker.transaction_listing import (
    TransactionFilter,
    list_transactions,
    unknown_states,
)
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k66_list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)


async def handle(
    context: RequestContext, request: ListTransactionsRequest
) -> ListTransactionsResponse:
    wanted = TransactionFilter(
        frozenset(request.state_filters),
        frozenset(request.producer_id_filters),
        request.duration_filter,
        request.transactional_id_pattern,
    )
    try:
        found = await list_transactions(context.broker, wanted)
    except RequestError as error:
        return ListTransactionsResponse(error_code=error.code)
    return ListTransactionsResponse(
        unknown_state_filters=unknown_states(request.state_filters),
        transaction_states=[
            TransactionState(record.transactional_id, record.producer_id, record.state.value)
            for record in found
        ],
    )


API = Api(ApiKey.LIST_TRANSACTIONS, versions=(0, 2), request=ListTransactionsRequest, handle=handle)
