"""Clients that do not read, or never finish, are bounded, closed in their time, disturb nobody."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from headrace.doors.kafka import listener
from headrace.testing import RunningBroker, running_broker
from headrace.testing.raw_client import (
    RawClient,
    batch,
    fetch_request,
)
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)

Connect = Callable[..., RawClient]
Until = Callable[..., Any]
LookInside = Callable[[RunningBroker], Any]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningBroker]:
    """A broker that takes half a second for a stall and sweeps all the time."""
    monkeypatch.setattr(listener, "SWEEP_S", 0.05)
    with running_broker() as running:
        running.node.kafka.limits = replace(running.node.kafka.limits, stall_s=0.5)
        yield running


def metadata(topic: str) -> MetadataRequest:
    topics = [MetadataRequestTopic(name=topic)]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=False)


def is_served(client: RawClient) -> bool:
    answer = client.ask(metadata("unknown"), MetadataResponse, 12)
    return answer.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_reader_that_reads_nothing_is_closed_and_disturbs_nobody(
    look_inside: LookInside,
    impatient: RunningBroker,
    connect: Connect,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    impatient.create_topic("big")
    filler = connect(impatient)
    for number in range(20):
        assert filler.produce("big", 0, batch([bytes(1_000_000)])).base_offset == number
    stuck = connect(impatient)
    want = fetch_request("big", 0, 0, partition_max_bytes=50_000_000)
    stuck.send(b"".join(stuck.framed(want, 12) for _ in range(200)))
    until(lambda: look_inside(impatient).held_files > 0, "an answer that is not taken")
    inside = look_inside(impatient)
    assert inside.buffer_bytes <= 4 << 20
    assert inside.held_files <= 1024
    assert len(filler.fetch("big", 0, 5).records or b"") >= 1_000_000
    filler.close()
    until(lambda: look_inside(impatient).connections == 0, "the sweep")
    assert "no byte moved" in caplog.text
    until(lambda: look_inside(impatient).held_files == 0)


def test_a_reader_of_small_answers_that_reads_nothing_is_bounded_too(
    look_inside: LookInside, impatient: RunningBroker, connect: Connect, until: Until
) -> None:
    impatient.create_topic("t", 100)
    stuck = connect(impatient)
    stuck.socket.setblocking(False)
    question = b"".join(stuck.framed(metadata("t"), 12) for _ in range(100))
    sent = 0
    deadline = impatient.node.kafka.now() + 10
    while look_inside(impatient).connections == 1 and impatient.node.kafka.now() < deadline:
        try:
            sent += stuck.socket.send(question)
        except BlockingIOError:
            continue
        except ConnectionError:
            break
        assert look_inside(impatient).buffer_bytes <= 4 << 20
        assert sent < 100 << 20, "requests are still read though no answer is taken"
    until(lambda: look_inside(impatient).connections == 0, "the sweep")


def test_who_takes_no_answer_is_closed_though_it_goes_on_sending(
    look_inside: LookInside, impatient: RunningBroker, connect: Connect, until: Until
) -> None:
    impatient.create_topic("big")
    filler = connect(impatient)
    for _ in range(20):
        filler.produce("big", 0, batch([bytes(1_000_000)]))
    filler.close()
    stuck = connect(impatient)
    stuck.send_request(fetch_request("big", 0, 0, partition_max_bytes=50_000_000), 12)
    until(lambda: look_inside(impatient).held_files == 1, "an answer that is not taken")
    stuck.send(struct.pack(">i", 1_000_000))

    def send_a_byte_and_see() -> bool:
        try:
            stuck.send(b"!")
        except ConnectionError:
            return True
        return look_inside(impatient).connections == 0

    until(send_a_byte_and_see, "the sweep")


def test_a_request_that_never_ends_is_closed(
    look_inside: LookInside, impatient: RunningBroker, connect: Connect, until: Until
) -> None:
    client = connect(impatient)
    client.send(struct.pack(">i", 1000) + b"and then nothing")
    assert client.is_hung_up()
    until(lambda: look_inside(impatient).buffer_bytes == 0)


def test_a_parked_fetch_is_no_stall(impatient: RunningBroker, connect: Connect) -> None:
    impatient.create_topic("quiet")
    client = connect(impatient)
    assert client.fetch("quiet", 0, 0, max_wait_ms=1200).error_code == 0
    assert client.fetch("quiet", 0, 0).error_code == 0


def test_an_idle_connection_is_closed_in_its_time(
    impatient: RunningBroker, connect: Connect
) -> None:
    impatient.node.kafka.limits = replace(impatient.node.kafka.limits, idle_s=0.3)
    client = connect(impatient)
    assert is_served(client)
    assert client.is_hung_up()


def test_one_connection_too_many_is_refused_and_the_others_stay(
    look_inside: LookInside, connect: Connect, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    with running_broker(broker={"max.connections": "5"}) as broker:
        clients = [connect(broker) for _ in range(5)]
        until(lambda: look_inside(broker).connections == 5)
        assert connect(broker).is_hung_up()
        assert "max.connections" in caplog.text
        for client in clients:
            assert is_served(client)
        clients[0].close()
        until(lambda: look_inside(broker).connections == 4)
        newcomer = connect(broker)
        assert is_served(newcomer)
