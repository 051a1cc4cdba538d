"""Clients that vanish leave nothing behind, whatever they were doing."""

import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.log import reader
from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import FetchResponse
from headrace.testing.raw_client import (
    RawClient,
    batch,
    fetch_request,
    produce_request,
)
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k11_join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)

Connect = Callable[..., RawClient]
Until = Callable[..., Any]
LookInside = Callable[[RunningBroker], Any]


def hang_up_rudely(client: RawClient) -> None:
    """Send RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.close()


def test_a_client_gone_in_mid_request_leaves_nothing(
    look_inside: LookInside, broker: RunningBroker, connect: Connect, until: Until
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
    look_inside: LookInside, broker: RunningBroker, connect: Connect, until: Until
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
    look_inside: LookInside,
    tmp_path: Path,
    connect: Connect,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
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
    look_inside: LookInside, broker: RunningBroker, connect: Connect, until: Until
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
    look_inside: LookInside, broker: RunningBroker, connect: Connect, until: Until
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
    look_inside: LookInside, broker: RunningBroker, connect: Connect, until: Until
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
    look_inside: LookInside,
    broker: RunningBroker,
    connect: Connect,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = look_inside(broker)
    for _ in range(200):
        hang_up_rudely(RawClient(broker.host, broker.port))
    broker.create_topic("t")
    assert connect(broker).produce("t", 0, batch([b"served"])).error_code == 0
    until(lambda: look_inside(broker).connections == before.connections + 1)
    assert not caplog.records
