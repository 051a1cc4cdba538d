"""DescribeTransactions (key 65): what is going on under transactional ids (KIP-664)."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, int64, message, string, struct

__all__ = [
    "DescribeTransactionsRequest",
    "DescribeTransactionsResponse",
    "TopicData",
    "TransactionState",
]


@message(ApiKey.DESCRIBE_TRANSACTIONS, versions=(0, 0))
class DescribeTransactionsRequest:
    transactional_ids: list[str] = array(string)


@struct
class TopicData:
    topic: str = string()
    partitions: list[int] = array(int32)


@struct
class TransactionState:
    """`transaction_start_time_ms` is -1 while there is no transaction."""

    error_code: int = int16()
    transactional_id: str = string()
    transaction_state: str = string()
    transaction_timeout_ms: int = int32()
    transaction_start_time_ms: int = int64()
    producer_id: int = int64()
    producer_epoch: int = int16()
    topics: list[TopicData] = array(TopicData)


@message(ApiKey.DESCRIBE_TRANSACTIONS, versions=(0, 0))
class DescribeTransactionsResponse:
    throttle_time_ms: int = int32()
    transaction_states: list[TransactionState] = array(TransactionState)
