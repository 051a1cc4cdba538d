"""What a connection promises its client, against a running broker."""

import asyncio
import logging
import random
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from headrace.doors.kafka import k60_describe_cluster, registry
from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import FetchResponse, ProduceResponse
from headrace.testing.raw_client import (
    RawClient,
    batch,
    fetch_request,
    produce_request,
    records_of,
)
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from headrace.wire.messages.k60_describe_cluster import (
    DescribeClusterRequest,
    DescribeClusterResponse,
)

Connect = Callable[..., RawClient]


def metadata(topic: str) -> MetadataRequest:
    topics = [MetadataRequestTopic(name=topic)]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=False)


def is_served(client: RawClient) -> bool:
    answer = client.ask(metadata("unknown"), MetadataResponse, 12)
    return answer.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


# Order


@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_a_thousand_pipelined_produce_requests_are_answered_in_order(
    durability: Any, connect: Connect
) -> None:
    with running_broker(durability=durability) as broker:
        broker.create_topic("many")
        client = connect(broker)
        frames = [client.framed(produce_request("many", 0, batch([b"x"])), 9) for _ in range(1000)]
        client.send(b"".join(frames))
        for number in range(1000):
            correlation_id, answer = client.read_answer(ProduceResponse, 9)
            assert correlation_id == number + 1
            partition = answer.responses[0].partition_responses[0]
            assert (partition.error_code, partition.base_offset) == (0, number)


def test_mixed_pipelined_requests_are_answered_in_order(
    durable_broker: RunningBroker, connect: Connect
) -> None:
    durable_broker.create_topic("mixed", 3)
    client = connect(durable_broker)
    choose = random.Random(7)
    asked: list[tuple[int, type, int]] = []
    frames = []
    for _ in range(300):
        partition = choose.randrange(3)
        request, response, version = choose.choice(
            [
                (produce_request("mixed", partition, batch([b"v"])), ProduceResponse, 11),
                (metadata("mixed"), MetadataResponse, 12),
                (fetch_request("mixed", partition, 0, max_wait_ms=5), FetchResponse, 12),
            ]
        )
        frames.append(client.framed(request, version))
        asked.append((client.correlation_id, response, version))
    client.send(b"".join(frames))
    for correlation_id, response, version in asked:
        answered, message = client.read_answer(response, version)
        assert answered == correlation_id
        if response is not MetadataResponse:
            assert len(message.responses) == 1


def test_a_fetch_behind_a_produce_reads_what_was_produced(
    durable_broker: RunningBroker, connect: Connect
) -> None:
    durable_broker.create_topic("t")
    client = connect(durable_broker)
    wait = fetch_request("t", 0, 0, max_wait_ms=10_000)
    client.send(
        client.framed(produce_request("t", 0, batch([b"seen"])), 9) + client.framed(wait, 12)
    )
    client.read_answer(ProduceResponse, 9)
    _, answer = client.read_answer(FetchResponse, 12)
    assert answer.responses[0].partitions[0].high_watermark == 1


def test_a_frame_that_comes_byte_by_byte_is_served(broker: RunningBroker, connect: Connect) -> None:
    broker.create_topic("slow")
    slow, quick = connect(broker), connect(broker)
    for byte in slow.framed(produce_request("slow", 0, batch([b"patience"])), 12):
        slow.send(bytes([byte]))
        assert quick.ask(metadata("slow"), MetadataResponse, 12).topics[0].error_code == 0
    _, answer = slow.read_answer(ProduceResponse, 12)
    assert answer.responses[0].partition_responses[0].base_offset == 0


def test_what_was_answered_before_a_bad_frame_is_still_sent(
    broker: RunningBroker, connect: Connect
) -> None:
    broker.create_topic("t")
    client = connect(broker)
    good = client.framed(produce_request("t", 0, batch([b"good"])), 9)
    client.send(good + struct.pack(">i", -5) + b"nonsense")
    correlation_id, answer = client.read_answer(ProduceResponse, 9)
    assert (correlation_id, answer.responses[0].partition_responses[0].error_code) == (1, 0)
    assert client.is_hung_up()


# acks=0


def test_acks_0_sends_no_answer_and_the_next_request_its_own(
    broker: RunningBroker, connect: Connect
) -> None:
    broker.create_topic("t")
    client = connect(broker)
    for _ in range(3):
        client.send_request(produce_request("t", 0, batch([b"unheard"]), acks=0), 9)
    assert client.is_silent(0.1)
    assert client.produce("t", 0, batch([b"heard"])).base_offset == 3


def test_a_refused_acks_0_batch_closes_the_connection(
    broker: RunningBroker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(broker)
    client.send_request(produce_request("nowhere", 0, batch([b"x"]), acks=0), 9)
    assert client.is_hung_up()
    assert "nowhere" in caplog.text


def test_what_a_client_sends_cannot_forge_a_line_of_the_log(
    broker: RunningBroker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    name = "x\n2026-01-01 ERROR all is lost" + "x" * 30_000
    for acks in (0, 1):
        client = connect(broker)
        client.send_request(produce_request(name, 0, batch([b"x"]), acks=acks), 9)
        if acks:
            client.read_answer(ProduceResponse, 9)
        else:
            assert client.is_hung_up()
    for record in caplog.records:
        assert "\n" not in record.getMessage()
        assert len(record.getMessage()) < 1000


# Two houses under one roof


def test_two_brokers_in_one_process_do_not_mix_what_they_send() -> None:
    together = threading.Barrier(2)

    def read_back(value: bytes) -> set[bytes | None]:
        with running_broker() as broker, RawClient(broker.host, broker.port) as client:
            broker.create_topic("t")
            for _ in range(5):
                client.produce("t", 0, batch([value * 900_000]))
            together.wait(20)
            found: set[bytes | None] = set()
            for _ in range(20):
                data = client.fetch("t", 0, 0, partition_max_bytes=5_000_000).records or b""
                found |= {record.value for record in records_of(data)}
            return found

    with ThreadPoolExecutor(2) as threads:
        ones, twos = threads.map(read_back, (b"1", b"2"))
    assert ones == {b"1" * 900_000}
    assert twos == {b"2" * 900_000}


# Errors of our own


def test_a_handler_that_fails_closes_its_connection_and_is_logged(
    broker: RunningBroker,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a bug of ours")

    api = k60_describe_cluster.API
    monkeypatch.setitem(registry.apis(), ApiKey.DESCRIBE_CLUSTER, replace(api, handle=fail))
    client, other = connect(broker), connect(broker)
    client.send_request(DescribeClusterRequest(), 0)
    assert client.is_hung_up()
    found = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(found) == 1
    assert "a bug of ours" in str(found[0].exc_info)
    assert is_served(other)


def test_a_request_that_is_given_up_inside_does_not_leave_its_client_waiting(
    broker: RunningBroker, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_up(*_: Any) -> Any:
        raise asyncio.CancelledError

    api = k60_describe_cluster.API
    monkeypatch.setitem(registry.apis(), ApiKey.DESCRIBE_CLUSTER, replace(api, handle=give_up))
    client = connect(broker)
    client.send_request(DescribeClusterRequest(), 0)
    assert client.is_hung_up()


# The end


def test_a_stopping_broker_answers_what_it_appended_and_leaves_parked_requests(
    connect: Connect,
) -> None:
    with running_broker(durability="fsync") as broker:
        broker.create_topic("t")
        parked, idle, producer = (connect(broker) for _ in range(3))
        parked.send_request(fetch_request("t", 0, 1000, max_wait_ms=60_000), 12)
        assert idle.ask(DescribeClusterRequest(), DescribeClusterResponse, 0).error_code == 0
        frames = [producer.framed(produce_request("t", 0, batch([b"x"])), 9) for _ in range(50)]
        producer.send(b"".join(frames))
        producer.read_answer(ProduceResponse, 9)
    answered = 1
    while True:
        try:
            _, answer = producer.read_answer(ProduceResponse, 9)
        except ConnectionError:
            break
        assert answer.responses[0].partition_responses[0].error_code == 0
        answered += 1
    assert answered == 50
    assert idle.is_hung_up()
