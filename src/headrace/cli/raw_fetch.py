"""Record batches as they are in the log, fetched over Kafka's protocol, headers and all.

Published clients hand out records and keep to themselves who sent a batch and with which sequence.
What must not enter: what is made of the batches.
"""

from collections.abc import Iterator
from typing import Final

from headrace.cli.failure import Failure
from headrace.cli.plain_requests import PlainRequests
from headrace.wire.apis import ApiKey
from headrace.wire.batch import HEADER_BYTES, BatchHeader, crc_matches, peek
from headrace.wire.errors import ErrorCode
from headrace.wire.schema import array, blob, int8, int16, int32, int64, message, string, struct

__all__ = ["FETCH_BYTES_MAX", "fetch_batches"]

FETCH_BYTES_MAX: Final = 8 << 20
"""One answer; a single larger batch comes all the same."""


@struct
class _Want:
    partition: int = int32()
    current_leader_epoch: int = int32(since=9, default=-1)
    fetch_offset: int = int64()
    log_start_offset: int = int64(since=5, default=-1)
    partition_max_bytes: int = int32(default=FETCH_BYTES_MAX)


@struct
class _WantTopic:
    topic: str = string()
    partitions: list[_Want] = array(_Want)


@struct
class _Forgotten:
    topic: str = string()
    partitions: list[int] = array(int32)


@message(ApiKey.FETCH, versions=(4, 11))
class FetchRequest:
    replica_id: int = int32(default=-1)
    max_wait_ms: int = int32()
    min_bytes: int = int32()
    max_bytes: int = int32(default=FETCH_BYTES_MAX)
    isolation_level: int = int8()
    session_id: int = int32(since=7)
    session_epoch: int = int32(since=7, default=-1)
    topics: list[_WantTopic] = array(_WantTopic)
    forgotten_topics_data: list[_Forgotten] = array(_Forgotten, since=7)
    rack_id: str = string(since=11)


@struct
class _Aborted:
    producer_id: int = int64()
    first_offset: int = int64()


@struct
class _Partition:
    partition_index: int = int32()
    error_code: int = int16()
    high_watermark: int = int64()
    last_stable_offset: int = int64(default=-1)
    log_start_offset: int = int64(since=5, default=-1)
    aborted_transactions: list[_Aborted] | None = array(_Aborted, nullable=4)
    preferred_read_replica: int = int32(since=11, default=-1)
    records: bytes | None = blob(nullable=0, default=None)


@struct
class _Topic:
    topic: str = string()
    partitions: list[_Partition] = array(_Partition)


@message(ApiKey.FETCH, versions=(4, 11))
class FetchResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16(since=7)
    session_id: int = int32(since=7)
    responses: list[_Topic] = array(_Topic)


def fetch_batches(
    requests: PlainRequests, topic: str, partition: int, offset: int, wait_ms: int = 0
) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Whole batches from the one that holds `offset` on, as many as one answer brings; none at the
    log's end, after waiting for `wait_ms`. Raises Failure, also for a batch that is damaged."""
    want = FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=1,
        topics=[
            _WantTopic(topic=topic, partitions=[_Want(partition=partition, fetch_offset=offset)])
        ],
    )
    answer = requests.ask(want, FetchResponse)
    [found] = [part for each in answer.responses for part in each.partitions]
    code = answer.error_code or found.error_code
    if code:
        raise Failure(f"{topic}, partition {partition}, offset {offset}: {ErrorCode(code).name}")
    data = memoryview(found.records or b"")
    position = 0
    while len(data) - position >= HEADER_BYTES:
        header = peek(data, position)
        batch = data[position : position + header.size_bytes]
        if len(batch) < header.size_bytes:  # cut off: the next answer brings it
            return
        if not crc_matches(batch, header):
            raise Failure(
                f"{topic}, partition {partition}: the batch at offset {header.base_offset} does "
                "not match its checksum"
            )
        yield header, batch
        position += len(batch)
