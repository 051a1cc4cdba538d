"""Produce and Fetch by hand agree with an independent codec in every version, and refuse nonsense.

The oracle is kio's generated classes.
"""

import importlib
import io
import struct
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode as KioError
from kio.serial import entity_reader, entity_writer

from headrace.doors.kafka import k00_produce, k01_fetch
from headrace.wire.errors import MalformedError
from headrace.wire.fetch import (
    PartitionAnswer,
    PartitionWant,
    TopicRun,
    read_fetch,
    write_answer,
    write_fetch,
)
from headrace.wire.produce import (
    PartitionBatch,
    PartitionResult,
    ProduceRequest,
    read_produce,
    write_produce,
)

PRODUCE_VERSIONS = range(k00_produce.FIRST_VERSION, k00_produce.VERSIONS[1] + 1)
FETCH_VERSIONS = range(k01_fetch.VERSIONS[0], k01_fetch.VERSIONS[1] + 1)
IDS = [UUID(int=7), UUID(int=2**127 + 5)]
NAMES = ["flights", "orders.v2"]


def oracle(api: str, version: int, side: str) -> Any:
    return importlib.import_module(f"kio.schema.{api}.v{version}.{side}")


def encoded(entity: Any) -> bytes:
    buffer = io.BytesIO()
    entity_writer(type(entity))(buffer, entity)
    return buffer.getvalue()


def topic_key(place: int, by_id: bool) -> dict[str, Any]:
    return {"topic_id": IDS[place]} if by_id else {"name": NAMES[place]}


def produce_request(version: int, records: list[list[bytes | None]]) -> bytes:
    names = oracle("produce", version, "request")
    return encoded(
        names.ProduceRequest(
            transactional_id=None,
            acks=-1,
            timeout=timedelta(milliseconds=1500),
            topic_data=tuple(
                names.TopicProduceData(
                    **topic_key(place, version >= 13),
                    partition_data=tuple(
                        names.PartitionProduceData(index=index, records=batch)
                        for index, batch in enumerate(partitions)
                    ),
                )
                for place, partitions in enumerate(records)
            ),
        )
    )


@pytest.mark.parametrize("version", PRODUCE_VERSIONS)
def test_produce_requests_are_read_as_they_were_meant(version: int) -> None:
    body = produce_request(version, [[b"first", None], [b"x" * 200, b""]])
    request = read_produce(memoryview(b"head" + body), 4, version)
    topics = IDS if version >= 13 else NAMES
    assert (request.transactional_id, request.acks, request.timeout_ms) == (None, -1, 1500)
    assert [(b.topic, b.partition, None if b.records is None else bytes(b.records))
            for b in request.batches] == [
        (topics[0], 0, b"first"),
        (topics[0], 1, None),
        (topics[1], 0, b"x" * 200),
        (topics[1], 1, b""),
    ]  # fmt: skip


@pytest.mark.parametrize("version", PRODUCE_VERSIONS)
def test_produce_responses_say_what_happened_to_each_partition(version: int) -> None:
    topics = IDS if version >= 13 else NAMES
    request = read_produce(memoryview(produce_request(version, [[b"a", b"b"], [b"c"]])), 0, version)
    results = [
        PartitionResult(0, 100, -1, 3, None),
        PartitionResult(10, -1, -1, -1, "too large", ((1, "no key"), (300, ""))),
        PartitionResult(0, 2**40, 1_700_000_000_000, 0, None),
    ]
    frame = write_produce(request, results, 77, version)
    size, correlation_id = struct.unpack_from(">ii", frame)
    assert (size, correlation_id) == (len(frame) - 4, 77)
    names = oracle("produce", version, "response")
    start = 9 if version >= 9 else 8
    response, length = entity_reader(names.ProduceResponse)(frame[start:], 0)
    assert length == len(frame) - start
    told = [
        (getattr(topic, "topic_id", None) or topic.name, answer)
        for topic in response.responses
        for answer in topic.partition_responses
    ]
    assert [topic for topic, _ in told] == [topics[0], topics[0], topics[1]]
    assert [answer.index for _, answer in told] == [0, 1, 0]
    assert [answer.error_code for _, answer in told] == [
        KioError.none, KioError.message_too_large, KioError.none,
    ]  # fmt: skip
    assert [answer.base_offset for _, answer in told] == [100, -1, 2**40]
    if version >= 8:
        assert [answer.error_message for _, answer in told] == [None, "too large", None]
        blamed = [
            (error.batch_index, error.batch_index_error_message)
            for _, answer in told
            for error in answer.record_errors
        ]
        assert blamed == [(1, "no key"), (300, "")]


@pytest.mark.parametrize("error_code", [0, 10])
@pytest.mark.parametrize("name_chars", [1, 126, 127, 249])
@pytest.mark.parametrize("version", PRODUCE_VERSIONS)
def test_a_produce_response_for_one_batch_is_as_any_other(
    version: int, name_chars: int, error_code: int
) -> None:
    topic = IDS[1] if version >= 13 else "t" * name_chars
    request = ProduceRequest(None, -1, 0, [PartitionBatch(topic, 7, None)])
    result = PartitionResult(error_code, 2**40, 1_700_000_000_000, 3, None)
    frame = write_produce(request, [result], 77, version)
    assert struct.unpack_from(">ii", frame) == (len(frame) - 4, 77)
    start = 9 if version >= 9 else 8
    reader = entity_reader(oracle("produce", version, "response").ProduceResponse)
    response, length = reader(frame[start:], 0)
    assert length == len(frame) - start
    assert frame[start:] == encoded(response)
    (told,) = response.responses
    (answer,) = told.partition_responses
    assert (getattr(told, "topic_id", None) or told.name) == topic
    assert (answer.index, answer.error_code.value) == (7, error_code)
    assert answer.base_offset == 2**40
    if version >= 5:
        assert answer.log_start_offset == 3


def fetch_request(version: int) -> bytes:
    names = oracle("fetch", version, "request")
    by_id = version >= 13
    optional = {
        "session_id": 0,
        "session_epoch": -1,
        "rack_id": "",
        "forgotten_topics_data": (),
    }
    fields = names.FetchRequest.__dataclass_fields__
    partition_fields = names.FetchPartition.__dataclass_fields__

    def partition(index: int, offset: int) -> Any:
        values = {
            "partition": index,
            "current_leader_epoch": 4,
            "fetch_offset": offset,
            "last_fetched_epoch": 3,
            "log_start_offset": -1,
            "partition_max_bytes": 1 << 20,
        }
        return names.FetchPartition(**{k: v for k, v in values.items() if k in partition_fields})

    key = "topic_id" if by_id else "topic"
    return encoded(
        names.FetchRequest(
            **({"replica_id": -1} if "replica_id" in fields else {}),
            max_wait=timedelta(milliseconds=500),
            min_bytes=1,
            max_bytes=50 << 20,
            isolation_level=1,
            topics=tuple(
                names.FetchTopic(**{key: topic}, partitions=(partition(0, 10), partition(5, 2**41)))
                for topic in (IDS if by_id else NAMES)
            ),
            **{k: v for k, v in optional.items() if k in fields},
        )
    )


@pytest.mark.parametrize("version", FETCH_VERSIONS)
def test_fetch_requests_are_read_as_they_were_meant(version: int) -> None:
    request = read_fetch(memoryview(b"??" + fetch_request(version)), 2, version)
    topics = IDS if version >= 13 else NAMES
    epoch = 4 if version >= 9 else -1
    assert (request.max_wait_ms, request.min_bytes, request.max_bytes) == (500, 1, 50 << 20)
    assert request.read_committed
    assert (request.session_id, request.session_epoch) == (0, -1)
    assert request.wants == [
        PartitionWant(topic, partition, epoch, offset, 1 << 20)
        for topic in topics
        for partition, offset in ((0, 10), (5, 2**41))
    ]


@pytest.mark.parametrize("version", FETCH_VERSIONS)
@pytest.mark.parametrize(
    "sizes", [(0, 0, 0), (5, 200, 300), (0, 7, 0), (9, 0, 1), (70_000, 1, 20_000_000)]
)
def test_fetch_responses_frame_the_records_that_are_sent_between(
    version: int, sizes: tuple[int, int, int]
) -> None:
    topics: list[Any] = list(IDS if version >= 13 else NAMES)
    aborted = [(number, 2**40 + number) for number in range(sizes[1])]
    answers = [
        PartitionAnswer(0, 0, 900, 880, 5, sizes[0]),
        PartitionAnswer(3, 1, -1, -1, -1, sizes[1]),
        PartitionAnswer(0, 0, 2**42, 2**42, 0, sizes[2], aborted),
    ]
    runs = [TopicRun(topics[0], 0, 2), TopicRun(topics[1], 2, 3)]
    written = [write_answer(answer, version) for answer in answers]
    some = {place: size for place, size in enumerate(sizes) if size}
    pieces = write_fetch(runs, written, some, 5, version)
    records = [bytes([65 + place]) * size for place, size in enumerate(sizes)]
    frame = pieces[0]
    for place, piece in zip(some, pieces[1:], strict=True):
        record = records[place]
        frame += record + piece
    assert struct.unpack_from(">ii", frame) == (len(frame) - 4, 5)
    names = oracle("fetch", version, "response")
    start = 9 if version >= 12 else 8
    response, length = entity_reader(names.FetchResponse)(frame[start:], 0)
    assert length == len(frame) - start
    told = [answer for topic in response.responses for answer in topic.partitions]
    assert [bytes(answer.records) for answer in told] == records
    assert [answer.partition_index for answer in told] == [0, 3, 0]
    assert [answer.high_watermark for answer in told] == [900, -1, 2**42]
    assert told[1].error_code is KioError.offset_out_of_range
    assert [answer.aborted_transactions for answer in told[:2]] == [None, None]
    shown = [(one.producer_id, one.first_offset) for one in told[2].aborted_transactions]
    assert shown == aborted


def test_an_empty_fetch_is_an_answer_too() -> None:
    (frame,) = write_fetch([], [], {}, 1, 12, error_code=70)
    names = oracle("fetch", 12, "response")
    response, _ = entity_reader(names.FetchResponse)(frame[9:], 0)
    assert response.error_code is KioError.fetch_session_id_not_found
    assert response.responses == ()


@settings(max_examples=300)
@given(version=st.sampled_from(PRODUCE_VERSIONS), body=st.binary(max_size=120))
def test_random_produce_bodies_are_malformed_or_bounded(version: int, body: bytes) -> None:
    try:
        request = read_produce(memoryview(body), 0, version)
    except MalformedError:
        return
    assert sum(len(b.records or b"") for b in request.batches) <= len(body)


@settings(max_examples=300)
@given(version=st.sampled_from(FETCH_VERSIONS), body=st.binary(max_size=120))
def test_random_fetch_bodies_are_malformed_or_bounded(version: int, body: bytes) -> None:
    try:
        request = read_fetch(memoryview(body), 0, version)
    except MalformedError:
        return
    assert len(request.wants) * 12 <= len(body)


@pytest.mark.parametrize("version", [3, 9, 13])
def test_every_cut_produce_request_is_malformed(version: int) -> None:
    body = produce_request(version, [[b"records"], [b"more"]])
    for end in range(len(body)):
        with pytest.raises(MalformedError):
            read_produce(memoryview(body[:end]), 0, version)
    with pytest.raises(MalformedError, match="follow"):
        read_produce(memoryview(body + b"\0"), 0, version)


@pytest.mark.parametrize("version", [4, 12, 18])
def test_every_cut_fetch_request_is_malformed(version: int) -> None:
    body = fetch_request(version)
    for end in range(len(body)):
        with pytest.raises(MalformedError):
            read_fetch(memoryview(body[:end]), 0, version)


def test_batches_are_views_and_not_copies() -> None:
    frame = bytearray(produce_request(7, [[b"records"]]))
    batch: PartitionBatch = read_produce(memoryview(frame), 0, 7).batches[0]
    assert batch.records is not None
    batch.records[:7] = b"RECORDS"
    assert b"RECORDS" in frame
