"""EndTxn (key 26): commit or abort (KIP-98). From version 5 on the answer says who the producer is
from then on, since every transaction has its own epoch (KIP-890)."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import boolean, int16, int32, int64, message, string

__all__ = ["EndTxnRequest", "EndTxnResponse"]


@message(ApiKey.END_TXN, versions=(0, 5))
class EndTxnRequest:
    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    committed: bool = boolean()


@message(ApiKey.END_TXN, versions=(0, 5))
class EndTxnResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id: int = int64(since=5, default=-1, ignorable=True)
    producer_epoch: int = int16(since=5, default=-1, ignorable=True)
