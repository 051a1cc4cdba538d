"""Fetch as a client sees it: when the answer comes, and how much is in it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.doors.kafka.k01_fetch import VERSIONS
from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from headrace.testing.raw_client import RawClient, batch, fetch_request, records_of
from headrace.wire.batch import peek
from headrace.wire.errors import ErrorCode

Connect = Callable[..., RawClient]

BATCHES, RECORDS = 10, 5


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningBroker]:
    """A broker whose topic `filled` has two partitions of ten batches of five records."""
    with running_broker() as broker:
        broker.create_topic("filled", 2)
        broker.create_topic("empty")
        with RawClient(broker.host, broker.port) as client:
            for partition in (0, 1):
                for number in range(BATCHES):
                    values = [b"%d.%d" % (number, place) for place in range(RECORDS)]
                    client.produce("filled", partition, batch(values))
        yield broker


def one_batch(shared: RunningBroker, connect: Connect) -> int:
    """The size of each batch of `filled`, in bytes."""
    data = connect(shared).fetch("filled", 0, 0)
    return peek(data.records or b"").size_bytes


@pytest.mark.parametrize("version", range(VERSIONS[0], 13))
def test_no_records_is_an_empty_field_and_not_null(
    version: int, shared: RunningBroker, connect: Connect
) -> None:
    data = connect(shared).fetch("empty", 0, 0, version=version)
    assert (data.error_code, data.records, data.high_watermark) == (0, b"", 0)


def test_an_offset_inside_a_batch_yields_the_whole_batch(
    shared: RunningBroker, connect: Connect
) -> None:
    data = connect(shared).fetch("filled", 0, 2 * RECORDS + 3)
    offsets = [record.offset for record in records_of(data.records or b"")]
    assert offsets == list(range(2 * RECORDS, BATCHES * RECORDS))


@pytest.mark.parametrize("spare", [0, 1, 40])
def test_an_answer_holds_whole_batches_within_the_limit_of_the_partition(
    spare: int, shared: RunningBroker, connect: Connect
) -> None:
    size = one_batch(shared, connect)
    data = connect(shared).fetch("filled", 0, 0, partition_max_bytes=3 * size + spare)
    assert data.records is not None
    assert len(data.records) == 3 * size
    assert len(records_of(data.records)) == 3 * RECORDS


@pytest.mark.parametrize("limit", [0, 1])
def test_the_first_batch_comes_though_it_is_over_every_limit(
    limit: int, shared: RunningBroker, connect: Connect
) -> None:
    size = one_batch(shared, connect)
    wants = [FetchPartition(partition=p, partition_max_bytes=limit) for p in (0, 1)]
    request = FetchRequest(
        min_bytes=1, max_bytes=limit, topics=[FetchTopic(topic="filled", partitions=wants)]
    )
    (topic,) = connect(shared).ask(request, FetchResponse, 12).responses
    assert [len(p.records or b"") for p in topic.partitions] == [size, 0]


def test_max_bytes_bound_the_partitions_together(shared: RunningBroker, connect: Connect) -> None:
    size = one_batch(shared, connect)
    wants = [FetchPartition(partition=p) for p in (0, 1)]
    request = FetchRequest(
        min_bytes=1,
        max_bytes=(BATCHES + 2) * size,
        topics=[FetchTopic(topic="filled", partitions=wants)],
    )
    (topic,) = connect(shared).ask(request, FetchResponse, 12).responses
    assert [len(p.records or b"") for p in topic.partitions] == [BATCHES * size, 2 * size]


def test_a_fetch_waits_its_time_when_nothing_comes(shared: RunningBroker, connect: Connect) -> None:
    client = connect(shared)
    began_s = time.monotonic()
    assert client.fetch("empty", 0, 0, max_wait_ms=300).records == b""
    assert time.monotonic() - began_s >= 0.29


def test_a_parked_fetch_is_answered_by_the_record_it_waits_for(
    broker: RunningBroker, connect: Connect
) -> None:
    broker.create_topic("t")
    reader, writer = connect(broker), connect(broker)
    reader.send_request(fetch_request("t", 0, 0, max_wait_ms=60_000), 12)
    assert reader.is_silent(0.1)
    writer.produce("t", 0, batch([b"at last"]))
    _, answer = reader.read_answer(FetchResponse, 12)
    (data,) = answer.responses[0].partitions
    assert [record.value for record in records_of(data.records or b"")] == [b"at last"]


def test_a_fetch_waits_until_min_bytes_are_there(broker: RunningBroker, connect: Connect) -> None:
    broker.create_topic("t")
    reader, writer = connect(broker), connect(broker)
    part = batch([bytes(1000)])
    enough = fetch_request("t", 0, 0, max_wait_ms=60_000, min_bytes=2 * len(part) + 1)
    reader.send_request(enough, 12)
    for _ in range(2):
        writer.produce("t", 0, part)
    assert reader.is_silent(0.1)
    writer.produce("t", 0, part)
    _, answer = reader.read_answer(FetchResponse, 12)
    assert len(answer.responses[0].partitions[0].records or b"") == 3 * len(part)


def test_an_error_ends_the_wait_at_once(shared: RunningBroker, connect: Connect) -> None:
    client = connect(shared)
    for topic, offset, code in [
        ("nope", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("empty", 1, ErrorCode.OFFSET_OUT_OF_RANGE),
    ]:
        began_s = time.monotonic()
        data = client.fetch(topic, 0, offset, max_wait_ms=60_000)
        assert data.error_code == code
        assert time.monotonic() - began_s < 30


def test_there_are_no_fetch_sessions(shared: RunningBroker, connect: Connect) -> None:
    client = connect(shared)
    whole: Any = fetch_request("filled", 0, 0)
    whole.session_epoch = 0  # asks for a session
    answer = client.ask(whole, FetchResponse, 12)
    assert (answer.error_code, answer.session_id) == (0, 0)
    whole.session_id, whole.session_epoch = 5, 1  # goes on with one
    answer = client.ask(whole, FetchResponse, 12)
    assert answer.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert answer.responses == []
