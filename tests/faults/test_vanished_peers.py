"""Peers that are gone without a word, and those that speak a byte at a time.

A peer vanishes here by a filter on its own socket that drops whatever arrives (SO_ATTACH_FILTER):
its kernel acknowledges nothing any more, as if the cable were cut. Nobody need be root for that.
"""

import ctypes
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from headrace.doors import sockets
from headrace.doors.http2 import frames
from headrace.doors.http2 import listener as grpc_listener
from headrace.doors.kafka import listener
from headrace.testing import RunningBroker, running_broker
from headrace.testing.raw_client import RawClient, batch, fetch_request, produce_request

Connect = Callable[..., RawClient]
Until = Callable[..., Any]

SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")


def vanish(connected: socket.socket) -> None:
    code = ctypes.create_string_buffer(DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    connected.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningBroker]:
    """All doors open; whoever is silent is asked after a second, and given up two later."""
    monkeypatch.setattr(sockets, "QUIET_S", 1)
    monkeypatch.setattr(sockets, "ASK_S", 1)
    monkeypatch.setattr(sockets, "ASKED_MAX", 2)
    monkeypatch.setattr(sockets, "UNTAKEN_S", 2)
    monkeypatch.setattr(listener, "SWEEP_S", 0.1)
    monkeypatch.setattr(grpc_listener, "SWEEP_S", 0.1)
    with running_broker(http=True, grpc=True) as running:
        yield running


def connections(broker: RunningBroker) -> tuple[int, int, int]:
    node = broker.node
    return (
        len(node.kafka.connections),
        len(node.http._connections),
        len(node.grpc.listener.connections),
    )


def ports(broker: RunningBroker) -> list[int]:
    node = broker.node
    return [broker.port, node.http_address.port, node.grpc_address.port]


@needs_linux
def test_peers_that_vanish_are_noticed_by_every_door(hasty: RunningBroker, until: Until) -> None:
    peers = [socket.create_connection(("127.0.0.1", port)) for port in ports(hasty)]
    peers[2].sendall(frames.PREFACE + frames.settings({}))
    until(lambda: connections(hasty) == (1, 1, 1), "all are there")
    for peer in peers:
        vanish(peer)
    began_s = time.monotonic()
    until(lambda: connections(hasty) == (0, 0, 0), "all are given up")
    assert 1 < time.monotonic() - began_s < 10
    for peer in peers:
        peer.close()


@needs_linux
def test_who_vanishes_while_it_waits_or_is_answered_is_noticed(
    hasty: RunningBroker, connect: Connect, until: Until
) -> None:
    hasty.create_topic("t")
    filler = connect(hasty)
    waiting, taking = connect(hasty), connect(hasty)
    waiting.send_request(fetch_request("t", 0, 1, max_wait_ms=60_000), 12)
    until(lambda: connections(hasty)[0] == 3, "all are there")
    vanish(waiting.socket)
    for _ in range(5):
        assert filler.produce("t", 0, batch([bytes(900_000)])).error_code == 0
    vanish(taking.socket)
    taking.send_request(fetch_request("t", 0, 0, partition_max_bytes=50_000_000), 12)
    until(lambda: connections(hasty)[0] == 1, "both are given up")
    assert filler.produce("t", 0, batch([b"next"])).base_offset == 5


def test_every_door_is_told_how_long_a_peer_may_be_silent(until: Until) -> None:
    with running_broker(http=True, grpc=True) as broker:
        peers = [socket.create_connection(("127.0.0.1", port)) for port in ports(broker)]
        until(lambda: connections(broker) == (1, 1, 1), "all are there")
        (kafka,) = broker.node.kafka.connections
        (http,) = broker.node.http._connections
        (grpc,) = broker.node.grpc.listener.connections
        held = [kafka._socket, *(each._transport.get_extra_info("socket") for each in (http, grpc))]
        for one in held:
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if sys.platform == "linux":
                assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == sockets.QUIET_S
                untaken_ms = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert untaken_ms == sockets.UNTAKEN_S * 1000
        for peer in peers:
            peer.close()


def test_a_reset_amid_a_batch_leaves_no_trace(
    hasty: RunningBroker, connect: Connect, until: Until
) -> None:
    hasty.create_topic("t")
    steady = connect(hasty)
    whole = steady.framed(produce_request("t", 0, batch([bytes(200_000)])), 12)
    for cut in (3, 10, 70, 100_000, len(whole) - 1):
        rude = socket.create_connection(("127.0.0.1", hasty.port))
        rude.sendall(whole[:cut])
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()  # RST
    until(lambda: connections(hasty)[0] == 1, "they are gone")
    assert hasty.node.kafka.pool.bytes_in_use == 0
    assert steady.produce("t", 0, batch([b"first"])).base_offset == 0


def test_a_connection_that_is_reset_at_once_is_given_up(hasty: RunningBroker, until: Until) -> None:
    for _ in range(20):
        rude = socket.create_connection(("127.0.0.1", hasty.port))
        rude.sendall(b"\0\0\1\0some")
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()
    until(lambda: hasty.node.broker.stats.connections_accepted >= 20, "all have come")
    until(lambda: connections(hasty)[0] == 0, "all are gone")


# A byte at a time


def test_requests_that_trickle_in_are_closed_and_those_that_flow_are_not(
    hasty: RunningBroker, connect: Connect, until: Until
) -> None:
    hasty.create_topic("t")
    limits = replace(hasty.node.kafka.limits, stall_s=0.5, receive_bytes_per_s_min=10_000)
    hasty.node.kafka.limits = limits
    slow = [connect(hasty) for _ in range(50)]
    steady = connect(hasty)
    whole = steady.framed(produce_request("t", 0, batch([bytes(60_000)])), 12)
    sent = 0
    while sent < len(whole):  # two seconds, at three times the least rate
        for client in slow:
            client.socket.send(whole[sent : sent + 1])  # to one that is closed, for a while
        steady.send(whole[sent : sent + 1_500])
        sent += 1_500
        time.sleep(0.05)
        slow = [client for client in slow if not _is_closed(client.socket)]
    assert not slow
    assert steady.read_frame()


def _is_closed(connected: socket.socket) -> bool:
    connected.setblocking(False)
    try:
        return connected.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_greeting_that_trickles_in_does_not_count_as_one(
    hasty: RunningBroker, until: Until
) -> None:
    door = hasty.node.grpc.listener
    door.limits = replace(door.limits, handshake_s=0.5)
    with socket.create_connection(("127.0.0.1", ports(hasty)[2])) as peer:
        began_s = time.monotonic()
        for byte in frames.PREFACE[:20]:
            if _is_closed(peer):
                break
            peer.send(bytes([byte]))
            time.sleep(0.1)
        until(lambda: connections(hasty)[2] == 0, "it is given up")
        assert time.monotonic() - began_s < 5
