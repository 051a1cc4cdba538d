"""What a connection promises its client and the rest of the house, against a running broker."""

import asyncio
import logging
import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace.doors.kafka import k60_describe_cluster, listener, registry
from headrace.log import reader
from headrace.server.node import Node
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
from headrace.wire.messages.k11_join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from headrace.wire.messages.k60_describe_cluster import (
    DescribeClusterRequest,
    DescribeClusterResponse,
)

Connect = Callable[..., RawClient]
Until = Callable[..., Any]


class Inside(NamedTuple):
    """What clients cost the broker at this moment."""

    connections: int
    buffer_bytes: int
    tasks: int
    watchers: int
    held_files: int


def look_inside(broker: RunningBroker) -> Inside:
    async def count(node: Node) -> Inside:
        logs = [p.log for t in node.broker.topics.by_name.values() for p in t.partitions]
        files = [segment.file for log in logs for segment in log.segments if segment.file]
        return Inside(
            len(node.kafka.connections),
            node.kafka.pool.bytes_in_use,
            len(asyncio.all_tasks()),
            sum(len(log._watchers) for log in logs),
            sum(file._users - 1 for file in files),
        )

    return broker.call(count)


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


def hang_up_rudely(client: RawClient) -> None:
    """Send RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.close()


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


# Clients that vanish


def test_a_client_gone_in_mid_request_leaves_nothing(
    broker: RunningBroker, connect: Connect, until: Until
) -> None:
    broker.create_topic("t")
    before = look_inside(broker)
    for cut in (1, 3, 4, 40, 900_000):
        client = connect(broker)
        client.send(client.framed(produce_request("t", 0, batch([bytes(1_000_000)])), 9)[:cut])
        until(lambda: look_inside(broker).connections == 1, "the connection")
        if cut > 1000:
            until(lambda: look_inside(broker).buffer_bytes > 0, "the unfinished request")
        (hang_up_rudely if cut % 2 else RawClient.close)(client)
        until(lambda: look_inside(broker) == before, "the end of the connection")
    assert connect(broker).produce("t", 0, batch([b"next"])).base_offset == 0


def test_a_client_gone_in_mid_answer_leaves_nothing(
    broker: RunningBroker, connect: Connect, until: Until
) -> None:
    broker.create_topic("big")
    filler = connect(broker)
    for _ in range(20):
        filler.produce("big", 0, batch([bytes(1_000_000)]))
    filler.close()
    until(lambda: look_inside(broker).connections == 0)
    before = look_inside(broker)
    client = connect(broker)
    client.send_request(fetch_request("big", 0, 0, partition_max_bytes=50_000_000), 12)
    assert len(client.read_exactly(100_000)) == 100_000
    until(lambda: look_inside(broker).held_files == 1, "the segment in use")
    hang_up_rudely(client)
    until(lambda: look_inside(broker) == before, "the end of the connection")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_a_client_gone_while_its_segment_is_opened_leaves_no_descriptor(
    tmp_path: Path, connect: Connect, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_segments() -> int:
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        paths = [os.readlink(link) for link in links if os.path.islink(link)]
        return sum(path.startswith(str(tmp_path)) and path.endswith(".log") for path in paths)

    asked, go_on = threading.Event(), threading.Event()

    def open_slowly(*arguments: Any) -> Any:
        asked.set()
        assert go_on.wait(20)
        return real(*arguments)

    with running_broker(str(tmp_path)) as broker:
        broker.create_topic("cold")
        connect(broker).produce("cold", 0, batch([b"x"]))
    real = reader.open_segment
    monkeypatch.setattr(reader, "open_segment", open_slowly)
    with running_broker(str(tmp_path)) as broker:
        before = look_inside(broker)
        assert open_segments() == 0
        client = connect(broker)
        client.send_request(fetch_request("cold", 0, 0), 12)
        assert asked.wait(20)
        client.close()
        until(lambda: look_inside(broker).connections == 0)
        go_on.set()
        until(lambda: look_inside(broker) == before)
        until(lambda: open_segments() == 0, "the end of the descriptor")
        assert connect(broker).fetch("cold", 0, 0).high_watermark == 1


def test_a_client_gone_while_its_fetch_is_parked_leaves_nothing(
    broker: RunningBroker, connect: Connect, until: Until
) -> None:
    broker.create_topic("quiet", 3)
    before = look_inside(broker)
    clients = [connect(broker) for _ in range(20)]
    for client in clients:
        client.send_request(fetch_request("quiet", 1, 0, max_wait_ms=60_000), 12)
    until(lambda: look_inside(broker).watchers == 20, "the parked fetches")
    for client in clients:
        client.close()
    until(lambda: look_inside(broker) == before, "the end of the connections")


def test_a_fetch_parked_on_a_topic_that_is_deleted_is_answered(
    broker: RunningBroker, connect: Connect, until: Until
) -> None:
    broker.create_topic("doomed")
    client = connect(broker)
    client.send_request(fetch_request("doomed", 0, 0, max_wait_ms=60_000), 12)
    until(lambda: look_inside(broker).watchers == 1, "the parked fetch")
    broker.call(lambda node: node.broker.topics.delete("doomed"))
    _, answer = client.read_answer(FetchResponse, 12)
    error = answer.responses[0].partitions[0].error_code
    assert error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_client_gone_while_its_join_is_parked_leaves_nothing(
    broker: RunningBroker, connect: Connect, until: Until
) -> None:
    def joining(member_id: str) -> JoinGroupRequest:
        return JoinGroupRequest(
            group_id="team",
            session_timeout_ms=30_000,
            rebalance_timeout_ms=60_000,
            member_id=member_id,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
        )

    first = connect(broker)
    named = first.ask(joining(""), JoinGroupResponse, 4)
    first.send_request(joining(named.member_id), 4)
    first.read_answer(JoinGroupResponse, 4)
    before = look_inside(broker)
    second = connect(broker)
    named = second.ask(joining(""), JoinGroupResponse, 4)
    second.send_request(joining(named.member_id), 4)  # waits for the first to join again
    until(lambda: look_inside(broker).tasks > before.tasks, "the parked join")
    second.close()
    until(lambda: look_inside(broker) == before, "the end of the connection")


def test_clients_gone_before_they_are_accepted_leave_nothing(
    broker: RunningBroker, connect: Connect, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    before = look_inside(broker)
    for _ in range(200):
        hang_up_rudely(RawClient(broker.host, broker.port))
    assert is_served(connect(broker))
    until(lambda: look_inside(broker).connections == before.connections + 1)
    assert not caplog.records


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


# Clients that do not read


def test_a_reader_that_reads_nothing_is_closed_and_disturbs_nobody(
    impatient: RunningBroker, connect: Connect, until: Until, caplog: pytest.LogCaptureFixture
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
    impatient: RunningBroker, connect: Connect, until: Until
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
    impatient: RunningBroker, connect: Connect, until: Until
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
    impatient: RunningBroker, connect: Connect, until: Until
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
    connect: Connect, until: Until, caplog: pytest.LogCaptureFixture
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
