"""Produce (key 0) as an ordinary message, for who writes requests and reads answers: a client.

The broker reads requests and writes answers by hand (`wire.produce`, which tells of the fields).
Names are Kafka's own.
"""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, blob, int16, int32, int64, message, nested, string, struct
from headrace.wire.schema import uuid as uuid_

__all__ = [
    "PartitionProduceData",
    "PartitionProduceResponse",
    "ProduceRequest",
    "ProduceResponse",
    "TopicProduceData",
]


@struct
class PartitionProduceData:
    index: int = int32()
    records: bytes | None = blob(nullable=0, default=None)


@struct
class TopicProduceData:
    name: str = string(until=12)
    topic_id: UUID | None = uuid_(since=13)
    partition_data: list[PartitionProduceData] = array(PartitionProduceData)


@message(ApiKey.PRODUCE, versions=(3, 13))
class ProduceRequest:
    transactional_id: str | None = string(nullable=3, default=None)
    acks: int = int16(default=-1)
    timeout_ms: int = int32(default=30_000)
    topic_data: list[TopicProduceData] = array(TopicProduceData)


@struct
class BatchIndexAndErrorMessage:
    batch_index: int = int32()
    batch_index_error_message: str | None = string(nullable=8, default=None)


@struct
class ProduceLeaderIdAndEpoch:
    leader_id: int = int32(default=-1)
    leader_epoch: int = int32(default=-1)


@struct
class ProduceNodeEndpoint:
    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(nullable=0, default=None)


@struct
class PartitionProduceResponse:
    index: int = int32()
    error_code: int = int16()
    base_offset: int = int64()
    log_append_time_ms: int = int64(default=-1)
    log_start_offset: int = int64(since=5, default=-1, ignorable=True)
    record_errors: list[BatchIndexAndErrorMessage] = array(
        BatchIndexAndErrorMessage, since=8, ignorable=True
    )
    error_message: str | None = string(since=8, nullable=8, default=None, ignorable=True)
    current_leader: ProduceLeaderIdAndEpoch = nested(
        ProduceLeaderIdAndEpoch, since=10, tag=0, ignorable=True
    )


@struct
class TopicProduceResponse:
    name: str = string(until=12)
    topic_id: UUID | None = uuid_(since=13)
    partition_responses: list[PartitionProduceResponse] = array(PartitionProduceResponse)


@message(ApiKey.PRODUCE, versions=(3, 13))
class ProduceResponse:
    responses: list[TopicProduceResponse] = array(TopicProduceResponse)
    throttle_time_ms: int = int32(ignorable=True)
    node_endpoints: list[ProduceNodeEndpoint] = array(
        ProduceNodeEndpoint, since=10, tag=0, ignorable=True
    )
