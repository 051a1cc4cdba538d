"""A batch that cannot be taken is refused with the right code, by name, and leaves no trace."""

import struct
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from headrace.testing.raw_client import RawClient, batch, produce_request
from headrace.wire import batch as batches
from headrace.wire.compression import Codec
from headrace.wire.errors import ErrorCode

Connect = Callable[..., RawClient]
Shared = RunningBroker


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningBroker]:
    with running_broker() as broker:
        broker.create_topic("t")
        broker.create_topic("small", configs={"max.message.bytes": "2000"})
        broker.create_topic(
            "narrow", configs={"segment.bytes": "1048576", "max.message.bytes": "9000000"}
        )
        broker.create_topic("other")
        yield broker


@pytest.fixture
def client(shared: RunningBroker, connect: Connect) -> Iterator[RawClient]:
    """Sees to it that nothing but what was acknowledged is in the log afterwards."""
    made = connect(shared)
    made.produce("t", 0, batch([b"mark"]))
    before = len(made.read_all("t", 0))
    yield made
    again = connect(shared)
    assert len(again.read_all("t", 0)) == before
    assert again.produce("t", 0, batch([b"still"])).base_offset == before


def changed(good: bytes, position: int, code: str, *values: int, recount: bool = True) -> bytes:
    """`good` with other values from `position` on, and a CRC that fits unless told otherwise."""
    data = bytearray(good)
    struct.pack_into(f">{code}", data, position, *values)
    if recount:
        struct.pack_into(">I", data, 17, batches.crc_of(data))
    return bytes(data)


GOOD = batch([b"one", b"two"])
ZIPPED = batch([b"one", b"two"], codec=Codec.GZIP)
IDEMPOTENT = batch([b"one"], producer_id=77, producer_epoch=0, base_sequence=0)

REFUSED = {
    "magic 0": (changed(GOOD, 16, "b", 0), ErrorCode.INVALID_RECORD),
    "magic 1": (changed(GOOD, 16, "b", 1), ErrorCode.INVALID_RECORD),
    "magic 3": (changed(GOOD, 16, "b", 3), ErrorCode.INVALID_RECORD),
    "a wrong CRC": (changed(GOOD, 17, "I", 1, recount=False), ErrorCode.CORRUPT_MESSAGE),
    "a flipped bit": (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), ErrorCode.CORRUPT_MESSAGE),
    "a length too small": (changed(GOOD, 8, "i", 10), ErrorCode.CORRUPT_MESSAGE),
    "a length too large": (changed(GOOD, 8, "i", len(GOOD)), ErrorCode.CORRUPT_MESSAGE),
    "a negative length": (changed(GOOD, 8, "i", -12), ErrorCode.CORRUPT_MESSAGE),
    "bytes missing": (GOOD[:-5], ErrorCode.CORRUPT_MESSAGE),
    "bytes too many": (GOOD + b"extra", ErrorCode.INVALID_RECORD),
    "two batches": (GOOD + GOOD, ErrorCode.INVALID_RECORD),
    "a header alone, cut short": (GOOD[:60], ErrorCode.INVALID_RECORD),
    "nothing": (b"", ErrorCode.INVALID_RECORD),
    "null": (None, ErrorCode.INVALID_RECORD),
    "no records": (changed(GOOD, 57, "i", 0), ErrorCode.INVALID_RECORD),
    "a negative count": (changed(GOOD, 57, "i", -2), ErrorCode.INVALID_RECORD),
    "a count that does not fit the offsets": (changed(GOOD, 57, "i", 3), ErrorCode.INVALID_RECORD),
    "offsets that do not fit the count": (changed(GOOD, 23, "i", 7), ErrorCode.INVALID_RECORD),
    "a negative offset delta": (changed(GOOD, 23, "i", -1), ErrorCode.INVALID_RECORD),
    "more records than bytes": (
        changed(changed(GOOD, 23, "i", 999_999), 57, "i", 1_000_000),
        ErrorCode.INVALID_RECORD,
    ),
    "2^31-1 records": (
        changed(changed(GOOD, 23, "i", 0x7FFFFFFE), 57, "i", 0x7FFFFFFF),
        ErrorCode.INVALID_RECORD,
    ),
    "2^31-1 compressed records": (
        changed(changed(ZIPPED, 23, "i", 0x7FFFFFFE), 57, "i", 0x7FFFFFFF),
        ErrorCode.INVALID_RECORD,
    ),
    "a control batch": (batch([b"x"], control=True), ErrorCode.INVALID_RECORD),
    "a codec that does not exist": (
        changed(GOOD, 21, "h", 5),
        ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
    ),
    "an append time that the broker did not set": (
        changed(GOOD, 21, "h", batches.ATTRIBUTE_LOG_APPEND_TIME),
        ErrorCode.INVALID_TIMESTAMP,
    ),
    "a producer without a sequence": (
        changed(IDEMPOTENT, 53, "i", -1),
        ErrorCode.INVALID_RECORD,
    ),
    "a producer without an epoch": (changed(IDEMPOTENT, 51, "h", -1), ErrorCode.INVALID_RECORD),
    "a transaction of nobody": (
        batch([b"x"], transactional=True),
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ),
}


@pytest.mark.parametrize(("records", "code"), REFUSED.values(), ids=REFUSED)
def test_a_bad_batch_is_refused_with_its_code(
    records: bytes | None, code: ErrorCode, client: RawClient
) -> None:
    for acks in (-1, 1):
        answer = client.produce("t", 0, records, acks=acks)
        assert (answer.error_code, answer.base_offset) == (code, -1)
        assert answer.error_message
        if records is None or len(records) != 61:
            assert client.produce("t", 0, records, version=3).error_code == code


@pytest.mark.parametrize("name", list(REFUSED))
def test_without_acks_a_bad_batch_closes_the_connection(
    name: str, shared: Shared, client: RawClient, connect: Connect
) -> None:
    sender = connect(shared)
    sender.send_request(produce_request("t", 0, REFUSED[name][0], acks=0), 12)
    assert sender.is_hung_up()


def test_one_bad_batch_does_not_spoil_the_others_of_its_request(
    shared: Shared, client: RawClient
) -> None:
    data = [
        PartitionProduceData(index=0, records=batch([b"good"])),
        PartitionProduceData(index=1, records=batch([b"no such partition"])),
    ]
    topics = [
        TopicProduceData(name="t", partition_data=[PartitionProduceData(records=b"bad")]),
        TopicProduceData(name="other", partition_data=data),
        TopicProduceData(name="nowhere", partition_data=data[:1]),
    ]
    answer = client.ask(ProduceRequest(topic_data=topics), ProduceResponse, 11)
    found = {
        (topic.name, partition.index): partition.error_code
        for topic in answer.responses
        for partition in topic.partition_responses
    }
    assert found == {
        ("t", 0): ErrorCode.INVALID_RECORD,
        ("other", 0): ErrorCode.NONE,
        ("other", 1): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ("nowhere", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }


def test_a_batch_above_max_message_bytes_is_too_large(shared: Shared, client: RawClient) -> None:
    fitting = batch([bytes(2000 - len(batch([b""])) - 2)])
    assert 1995 <= len(fitting) <= 2000
    assert client.produce("small", 0, fitting).error_code == 0
    answer = client.produce("small", 0, batch([bytes(2000)]))
    assert answer.error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert "max.message.bytes" in (answer.error_message or "")
    compressed = batch([bytes(100_000)], codec=Codec.GZIP)
    assert len(compressed) < 2000
    assert client.produce("small", 0, compressed).error_code == 0


def test_a_batch_above_the_segment_size_is_too_large(shared: Shared, client: RawClient) -> None:
    answer = client.produce("narrow", 0, batch([bytes(2_000_000)]))
    assert answer.error_code == ErrorCode.RECORD_LIST_TOO_LARGE
    assert client.produce("narrow", 0, batch([bytes(1_000_000)])).error_code == 0


@pytest.mark.parametrize("acks", [2, 7, -2, 32767, -32768])
def test_acks_that_do_not_exist_are_refused(acks: int, shared: Shared, client: RawClient) -> None:
    answer = client.produce("t", 0, GOOD, acks=acks)
    assert answer.error_code == ErrorCode.INVALID_REQUIRED_ACKS


@pytest.mark.parametrize("version", [9, 12])
def test_a_transactional_id_that_nobody_has_is_refused(
    version: int, shared: Shared, client: RawClient
) -> None:
    for fields in ({}, {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0}):
        request = produce_request("t", 0, batch([b"x"], transactional=True, **fields))
        request.transactional_id = "mover"
        answer = client.ask(request, ProduceResponse, version)
        error = answer.responses[0].partition_responses[0].error_code
        assert error == ErrorCode.INVALID_PRODUCER_ID_MAPPING


@pytest.mark.parametrize("version", range(3, 7))
def test_zstd_needs_a_version_that_knows_it(
    version: int, shared: Shared, client: RawClient, connect: Connect
) -> None:
    zstd = batch([b"x" * 100], codec=Codec.ZSTD)
    answer = client.produce("other", 0, zstd, version=version)
    assert answer.error_code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    assert client.produce("other", 0, zstd, version=7).error_code == 0


UNKNOWN: dict[str, tuple[Any, int, ErrorCode]] = {
    "a topic": ("nowhere", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "a topic without a name": ("", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "a path for a topic": ("../../etc/passwd", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "a very long name": ("n" * 32_767, 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "a name of wide letters": ("\u6c34" * 10_900, 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "a partition": ("t", 1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "the greatest partition": ("t", 0x7FFFFFFF, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "a negative partition": ("t", -1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "the least partition": ("t", -0x80000000, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "a topic id": (UUID(int=5), 0, ErrorCode.UNKNOWN_TOPIC_ID),
    "the zero topic id": (UUID(int=0), 0, ErrorCode.UNKNOWN_TOPIC_ID),
}


@pytest.mark.parametrize(("topic", "partition", "code"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_does_not_exist_is_named_and_not_created(
    topic: Any, partition: int, code: ErrorCode, shared: Shared, client: RawClient
) -> None:
    versions = (13,) if isinstance(topic, UUID) else (3, 8, 9, 12)
    for version in versions:
        answer = client.produce(topic, partition, GOOD, version=version)
        assert (answer.index, answer.error_code, answer.base_offset) == (partition, code, -1)
    versions = (13, 17) if isinstance(topic, UUID) else (4, 11, 12)
    for version in versions:
        data = client.fetch(topic, partition, 0, version=version, max_wait_ms=10_000)
        assert (data.partition_index, data.error_code) == (partition, code)
        assert data.records == b""
    assert set(shared.node.broker.topics.by_name) == {"t", "small", "narrow", "other"}


def test_an_answer_does_not_grow_with_the_name_it_refuses(
    shared: Shared, client: RawClient
) -> None:
    nothing = [PartitionProduceData(index=index) for index in range(2000)]
    topics = [TopicProduceData(name="n" * 32_000, partition_data=nothing)]
    client.send_request(ProduceRequest(topic_data=topics), 9)
    assert len(client.read_frame()) < 1_000_000


@pytest.mark.parametrize("offset", [-1, -2, 10**6, 2**63 - 1, -(2**63)])
def test_a_fetch_outside_the_log_is_out_of_range_at_once(
    offset: int, shared: Shared, client: RawClient
) -> None:
    data = client.fetch("t", 0, offset, max_wait_ms=10_000)
    assert data.error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert data.high_watermark >= 1


def test_a_fetch_with_a_future_or_past_leader_epoch_is_refused(
    shared: Shared, client: RawClient
) -> None:
    from headrace.testing.hot_messages import FetchResponse
    from headrace.testing.raw_client import fetch_request

    request = fetch_request("t", 0, 0, max_wait_ms=10_000)
    request.topics[0].partitions[0].current_leader_epoch = 5
    answer = client.ask(request, FetchResponse, 12)
    assert answer.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_LEADER_EPOCH


def test_a_fetch_session_that_does_not_exist_is_refused(shared: Shared, client: RawClient) -> None:
    from headrace.testing.hot_messages import FetchRequest, FetchResponse

    answer = client.ask(FetchRequest(session_id=9, session_epoch=3), FetchResponse, 12)
    assert answer.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
