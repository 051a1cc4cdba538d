"""AddOffsetsToTxn (key 25): a transaction is about to commit offsets for a group (KIP-98)."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import int16, int32, int64, message, string

__all__ = ["AddOffsetsToTxnRequest", "AddOffsetsToTxnResponse"]


@message(ApiKey.ADD_OFFSETS_TO_TXN, versions=(0, 4))
class AddOffsetsToTxnRequest:
    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    group_id: str = string()


@message(ApiKey.ADD_OFFSETS_TO_TXN, versions=(0, 4))
class AddOffsetsToTxnResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
