"""The gRPC door on a socket: clients that are wrong, slow, silent, many, or going."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ErrorCode
from headrace.doors.http2.limits import MIB
from headrace.doors.http2.listener import SCRATCH_BYTES, tls_context
from headrace.doors.http2.messages import prefixed
from headrace.doors.http2.protocol import WAITING_BYTES_MAX
from tests.doors.http2.peer import Peer, data, parse

HELLO = frames.PREFACE + frames.settings({})
TLS = Path(__file__).parent / "tls"
FAR = 1e6


@pytest.fixture
def dial() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def connect(door: Any, said: bytes = b"") -> socket.socket:
            made = socket.create_connection(("127.0.0.1", door.port), timeout=10)
            client = stack.enter_context(made)
            client.sendall(said)
            return client

        yield connect


def read_until_closed(client: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            received += piece
    return received


def read_until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def headers(path: str, stream_id: int = 1) -> bytes:
    return Peer().headers(stream_id, path)


def only_connection(door: Any, until: Any) -> Any:
    until(lambda: len(door.listener.connections) == 1, "the connection")
    (connection,) = door.listener.connections
    return connection


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", HELLO + frames.frame(6, 0, 0, b"1")])
def test_the_wrong_are_told_why_and_closed(doors: Any, dial: Any, said: bytes) -> None:
    door = doors()
    received = read_until_closed(dial(door, said + bytes(100_000)))
    assert b"not an HTTP/2 client" in received or b"a frame of type 6 with 1 bytes" in received


def test_one_client_too_many_is_closed(doors: Any, dial: Any) -> None:
    door = doors(connections_max=1)
    read_until(dial(door, HELLO), b"\0\0\0\4\1\0\0\0\0")
    assert read_until_closed(dial(door, HELLO)) == b""


@pytest.mark.parametrize(
    ("said", "after"),
    [(b"", "handshake_s"), (frames.PREFACE, "handshake_s"), (HELLO, "idle_s")],
)
def test_who_does_nothing_is_let_go(
    doors: Any, dial: Any, until: Any, said: bytes, after: str
) -> None:
    door = doors()
    client = dial(door, said)
    connection = only_connection(door, until)
    if said:
        client.recv(1000)
    limit = getattr(door.listener.limits, after)
    # A greeting has its time from the connection on, however it trickles in.
    since = connection.active_at if after == "idle_s" else connection._connected_at
    door.call(connection.sweep, since + limit)
    assert door.listener.connections
    door.call(connection.sweep, since + limit + 1)
    received = read_until_closed(client)
    assert (b"idle" in received) == (after == "idle_s")


def test_a_silent_client_with_calls_is_asked_and_then_let_go(
    doors: Any, dial: Any, until: Any
) -> None:
    door = doors()
    client = dial(door, HELLO + headers("/t.T/Record"))
    connection = only_connection(door, until)
    until(lambda: door.world.recorded, "the call")
    limits = door.listener.limits
    quiet = connection.active_at + limits.ping_after_s + 1
    door.call(connection.sweep, quiet)
    read_until(client, b"alive?  ")
    door.call(connection.sweep, quiet + limits.ping_answer_s)
    read_until_closed(client)
    until(lambda: door.world.recorded[0].told == ["cancel"], "the call's end")


def test_a_client_that_takes_nothing_is_held_in_bounds_and_let_go(
    doors: Any, dial: Any, until: Any
) -> None:
    door = doors(window_bytes=64 * MIB, stream_window_bytes_max=64 * MIB)
    windows = frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: (1 << 31) - 1})
    windows += frames.window_update(0, (1 << 31) - 1 - 65_535)
    client = dial(door, HELLO + windows + headers("/t.T/Echo"))
    client.settimeout(0.5)
    message = data(1, prefixed([bytes(60_000)]))
    with pytest.raises(TimeoutError):
        client.sendall(message * 1000)
    connection = only_connection(door, until)
    until(lambda: connection.is_blocked, "the full socket")
    budget, limits = door.listener.budget, door.listener.limits
    waiting = door.call(connection._transport.get_write_buffer_size)
    assert waiting <= 2 * WAITING_BYTES_MAX
    assert budget.unsent_bytes <= limits.unsent_bytes_room + SCRATCH_BYTES
    assert budget.held_bytes <= SCRATCH_BYTES + len(message)
    door.call(connection.sweep, connection.active_at + limits.send_s + 1)
    until(lambda: not door.listener.connections, "the end")


def test_a_drain_lets_calls_end_and_tells_those_that_do_not(
    doors: Any, dial: Any, until: Any
) -> None:
    door = doors(drain_s=0.2)
    client = dial(door, HELLO + headers("/t.T/Record"))
    until(lambda: door.world.recorded, "the call")
    handler = door.world.recorded[0]
    handler.on["drain"] = lambda: handler.call.send([b"I know"])
    began = time.monotonic()
    door.close()
    assert time.monotonic() - began < 3
    received = read_until_closed(client)
    assert b"I know" in received
    assert handler.told == ["drain", "cancel"]
    heard = Peer()
    heard.frames, _ = parse(received)
    assert heard.status(1) == ("14", "the server stops")


def test_a_drained_connection_closes_with_its_last_call(doors: Any, dial: Any, until: Any) -> None:
    door = doors()
    client = dial(door, HELLO + headers("/t.T/Record"))
    until(lambda: door.world.recorded, "the call")
    handler = door.world.recorded[0]
    handler.on["drain"] = handler.call.finish
    client.sendall(frames.frame(frames.PING, frames.ACK, 0, b"draining"))
    began = time.monotonic()
    door.close()
    assert time.monotonic() - began < 3
    assert handler.told == ["drain"]


@pytest.mark.parametrize("said", [b"", frames.PREFACE[:9]])
def test_a_drain_does_not_wait_for_who_never_spoke(
    doors: Any, dial: Any, until: Any, said: bytes
) -> None:
    door = doors()
    client = dial(door, said)
    only_connection(door, until)
    began = time.monotonic()
    door.close()
    assert time.monotonic() - began < door.listener.limits.drain_s
    settings, goaway = parse(read_until_closed(client))[0]
    assert (settings.kind, goaway.kind) == (frames.SETTINGS, frames.GOAWAY)


def test_a_broken_off_connection_cancels_its_calls(doors: Any, dial: Any, until: Any) -> None:
    door = doors()
    client = dial(door, HELLO + headers("/t.T/Record") + headers("/t.T/Never", 3))
    until(lambda: door.world.recorded, "the call")
    client.close()
    until(lambda: door.world.recorded[0].told == ["cancel"], "the cancel")
    until(lambda: not door.listener.connections, "the end")


def test_tls_speaks_http_2_and_a_client_without_it_is_let_go(doors: Any, dial: Any) -> None:
    door = doors(tls_context(str(TLS / "cert.pem"), str(TLS / "key.pem")))
    context = ssl.create_default_context(cafile=str(TLS / "ca.pem"))
    context.set_alpn_protocols(["http/1.1", "h2"])
    with context.wrap_socket(dial(door), server_hostname="localhost") as client:
        assert client.selected_alpn_protocol() == "h2"
        client.sendall(HELLO)
        read_until(client, b"\0\0\0\4\1\0\0\0\0")  # our SETTINGS, and the ack of theirs
    assert read_until_closed(dial(door, HELLO)).count(frames.PREFACE) == 0


def test_the_reason_of_a_fault_has_a_code(doors: Any, dial: Any) -> None:
    door = doors()
    received = read_until_closed(dial(door, HELLO + frames.window_update(0, 0)))
    assert frames.goaway(0, ErrorCode.PROTOCOL_ERROR, "a window wider by nothing") in received
