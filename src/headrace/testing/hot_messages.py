"""Produce and Fetch as ordinary messages, for a client that writes requests and reads answers.

The broker itself reads and writes these two by hand (`wire.produce`, `wire.fetch`), one way each;
this is the other way round, declared as all other messages are. Names are Kafka's own. Produce is
declared in `wire.messages`, since a client that is published needs it too.
"""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.messages.k00_produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from headrace.wire.schema import array, blob, int8, int16, int32, int64, message, string, struct
from headrace.wire.schema import uuid as uuid_

__all__ = [
    "FetchPartition",
    "FetchRequest",
    "FetchResponse",
    "FetchTopic",
    "ForgottenTopic",
    "PartitionProduceData",
    "PartitionProduceResponse",
    "ProduceRequest",
    "ProduceResponse",
    "TopicProduceData",
]


@struct
class FetchPartition:
    partition: int = int32()
    current_leader_epoch: int = int32(since=9, default=-1)
    fetch_offset: int = int64()
    last_fetched_epoch: int = int32(since=12, default=-1)
    log_start_offset: int = int64(since=5, default=-1)
    partition_max_bytes: int = int32(default=1 << 20)


@struct
class FetchTopic:
    topic: str = string(until=12)
    topic_id: UUID | None = uuid_(since=13)
    partitions: list[FetchPartition] = array(FetchPartition)


@struct
class ForgottenTopic:
    topic: str = string(until=12)
    topic_id: UUID | None = uuid_(since=13)
    partitions: list[int] = array(int32)


@message(ApiKey.FETCH, versions=(4, 18))
class FetchRequest:
    replica_id: int = int32(until=14, default=-1)
    max_wait_ms: int = int32()
    min_bytes: int = int32()
    max_bytes: int = int32(default=0x7FFFFFFF)
    isolation_level: int = int8()
    session_id: int = int32(since=7)
    session_epoch: int = int32(since=7, default=-1)
    topics: list[FetchTopic] = array(FetchTopic)
    forgotten_topics_data: list[ForgottenTopic] = array(ForgottenTopic, since=7)
    rack_id: str = string(since=11)


@struct
class AbortedTransaction:
    producer_id: int = int64()
    first_offset: int = int64()


@struct
class PartitionData:
    partition_index: int = int32()
    error_code: int = int16()
    high_watermark: int = int64()
    last_stable_offset: int = int64(default=-1)
    log_start_offset: int = int64(since=5, default=-1)
    aborted_transactions: list[AbortedTransaction] | None = array(AbortedTransaction, nullable=4)
    preferred_read_replica: int = int32(since=11, default=-1)
    records: bytes | None = blob(nullable=0, default=None)


@struct
class FetchableTopicResponse:
    topic: str = string(until=12)
    topic_id: UUID | None = uuid_(since=13)
    partitions: list[PartitionData] = array(PartitionData)


@message(ApiKey.FETCH, versions=(4, 18))
class FetchResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16(since=7)
    session_id: int = int32(since=7)
    responses: list[FetchableTopicResponse] = array(FetchableTopicResponse)
