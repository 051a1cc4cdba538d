"""ListTransactions (key 66): the transactional ids there are, by state, producer, how long their
transaction has lasted (version 1, KIP-994) and a regular expression (version 2, KIP-1152)."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, int64, message, string, struct

__all__ = ["ListTransactionsRequest", "ListTransactionsResponse", "TransactionState"]


@message(ApiKey.LIST_TRANSACTIONS, versions=(0, 2))
class ListTransactionsRequest:
    """Empty lists, a negative duration (ms) and no pattern let everything through."""

    state_filters: list[str] = array(string)
    producer_id_filters: list[int] = array(int64)
    duration_filter: int = int64(since=1, default=-1)
    transactional_id_pattern: str | None = string(since=2, nullable=2, default=None)


@struct
class TransactionState:
    transactional_id: str = string()
    producer_id: int = int64()
    transaction_state: str = string()


@message(ApiKey.LIST_TRANSACTIONS, versions=(0, 2))
class ListTransactionsResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    unknown_state_filters: list[str] = array(string)
    transaction_states: list[TransactionState] = array(TransactionState)
