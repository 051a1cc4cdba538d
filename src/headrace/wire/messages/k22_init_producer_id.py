"""InitProducerId (key 22): a producer asks for its id and epoch (KIP-98).

From version 3 on it may name the id and epoch it holds, to get the next epoch instead of a new id
(KIP-360). Version 6 (two-phase commit, KIP-939) is unstable upstream and not described here.
"""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import int16, int32, int64, message, string

__all__ = ["InitProducerIdRequest", "InitProducerIdResponse"]


@message(ApiKey.INIT_PRODUCER_ID, versions=(0, 5))
class InitProducerIdRequest:
    transactional_id: str | None = string(nullable=0)
    transaction_timeout_ms: int = int32()
    producer_id: int = int64(since=3, default=-1)
    producer_epoch: int = int16(since=3, default=-1)


@message(ApiKey.INIT_PRODUCER_ID, versions=(0, 5))
class InitProducerIdResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id: int = int64(default=-1)
    producer_epoch: int = int16()
