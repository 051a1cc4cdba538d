"""Clients of the HTTP door that are slow, rude, many, or polite."""

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from headrace.doors.http.head import HEAD_BYTES_MAX, Answer
from headrace.doors.http.listener import HttpLimits

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def dial(seen_broker: Any) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def open_socket(**limits: float) -> socket.socket:
            listener = seen_broker.node.http
            listener.limits = replace(HttpLimits(), **limits)
            address = seen_broker.node.http_address
            return stack.enter_context(socket.create_connection(address, timeout=10))

        yield open_socket


def read_all(client: socket.socket) -> bytes:
    """Until the door closes."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


def read_answer(client: socket.socket, body: bytes) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n" + body):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def test_a_connection_serves_one_request_after_the_other(dial):
    client = dial()
    for _ in range(3):
        client.sendall(GET)
        assert read_answer(client, b"ok\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order(dial):
    client = dial()
    client.sendall(
        GET
        + b"GET /nowhere HTTP/1.1\r\n\r\n"
        + GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n")
    )
    answers = read_all(client)
    codes = re.findall(rb"HTTP/1.1 (\d+) ", answers)
    assert codes == [b"200", b"404", b"200"]


def test_a_head_in_pieces_is_put_together(dial):
    client = dial()
    for at in range(len(GET)):
        client.sendall(GET[at : at + 1])
    assert b"200 OK" in read_answer(client, b"ok\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"PUT /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01 a client that speaks TLS \r\n\r\n", b"400"),
        (b"GET /" + b"a" * 2 * HEAD_BYTES_MAX, b"431"),
    ],
)
def test_the_rude_are_told_and_closed(dial, sent, status):
    client = dial()
    client.sendall(sent)
    with contextlib.suppress(ConnectionResetError):
        assert read_all(client).split()[1] == status


def test_a_head_that_does_not_arrive_is_given_up(dial):
    client = dial(head_s=0.1)
    client.sendall(GET[:10])
    assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_without_a_word(dial):
    client = dial(idle_s=0.1)
    client.sendall(GET)
    assert read_all(client).endswith(b"\r\n\r\nok\n")


def test_one_client_too_many_is_told(dial):
    first = dial(connections_max=1)
    first.sendall(GET)
    read_answer(first, b"ok\n")
    assert read_all(dial(connections_max=1)).startswith(b"HTTP/1.1 503 ")


def test_a_client_that_takes_nothing_is_let_go(dial, seen_broker, until):
    client = dial(send_s=0.2)
    listener = seen_broker.node.http

    async def answer(_: Any) -> Answer:
        return Answer(bytes(64 * 1024 * 1024))

    listener.routes._paths["/"] = answer
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(lambda: client.recv(1, socket.MSG_PEEK), "the answer's beginning")
    until(lambda: not listener._connections, "the connection's end")


def test_a_mistake_of_ours_is_a_500_and_costs_one_request(dial, seen_broker):
    async def answer(_: Any) -> Answer:
        raise ZeroDivisionError

    seen_broker.node.http.routes._paths["/"] = answer
    client = dial()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert b" 500 " in read_answer(client, b"internal error\n")
    client.sendall(GET)
    read_answer(client, b"ok\n")
