"""InitProducerId (key 22): a producer asks for its id and epoch (KIP-98).

From version 3 on it may name the id and epoch it holds, to get the next epoch instead of a new id
(KIP-360). From version 6 on it may take part in a two-phase commit: its transactions never time
out, and the one that is open may be kept, to be ended by whoever decides (KIP-939).
"""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import boolean, int16, int32, int64, message, string

__all__ = ["InitProducerIdRequest", "InitProducerIdResponse"]


@message(ApiKey.INIT_PRODUCER_ID, versions=(0, 6))
class InitProducerIdRequest:
    transactional_id: str | None = string(nullable=0)
    transaction_timeout_ms: int = int32()
    producer_id: int = int64(since=3, default=-1)
    producer_epoch: int = int16(since=3, default=-1)
    enable2_pc: bool = boolean(since=6)
    keep_prepared_txn: bool = boolean(since=6)


@message(ApiKey.INIT_PRODUCER_ID, versions=(0, 6))
class InitProducerIdResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id: int = int64(default=-1)
    producer_epoch: int = int16()
    ongoing_txn_producer_id: int = int64(since=6, default=-1, ignorable=True)
    ongoing_txn_producer_epoch: int = int16(since=6, default=-1, ignorable=True)
