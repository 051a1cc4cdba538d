"""The proxy does to connections what its weather says, and nothing when it is fair."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proof.chaos.proxy import FAIR, Proxy, Weather

HELLO = b"hello"


class Echo:
    """Sends back what it gets; `heard` is all of it."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ends: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1000):
                    self.heard += data
                    connection.sendall(data)
                self.ends.append("end")
            except OSError:
                self.ends.append("reset")


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    made = Proxy("seed")
    made.target = echo.port
    yield made
    made.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as made:
        yield made


def answered(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.recv(size)
        if not more:
            break
        data += more
    return data


def test_fair_weather_changes_nothing(client: socket.socket) -> None:
    client.sendall(HELLO * 1000)
    assert answered(client, 5000) == HELLO * 1000
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""


def test_bytes_come_one_by_one_and_late(proxy: Proxy, client: socket.socket) -> None:
    proxy.weather = Weather(chunk_bytes=1, delay_s=0.05)
    began = time.monotonic()
    client.sendall(HELLO)
    assert answered(client, 5) == HELLO
    assert time.monotonic() - began > 0.1


def test_a_throttle_takes_its_time(proxy: Proxy, client: socket.socket) -> None:
    proxy.weather = Weather(chunk_bytes=100, bytes_per_s=2000)
    began = time.monotonic()
    client.sendall(bytes(400))
    assert answered(client, 400) == bytes(400)
    assert time.monotonic() - began > 0.14  # three pauses


@pytest.mark.parametrize("way", ["stalls_up", "stalls_down"])
def test_what_was_held_passes_when_the_weather_changes(
    way: str, proxy: Proxy, client: socket.socket, echo: Echo, until: Any
) -> None:
    proxy.weather = Weather(**{way: True})
    client.sendall(HELLO)
    if way == "stalls_down":
        until(lambda: echo.heard == HELLO, "the request")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert bool(echo.heard) == (way == "stalls_down")
    client.settimeout(10)
    proxy.weather = FAIR
    assert answered(client, 5) == HELLO


@pytest.mark.parametrize("way", ["reset_up_one_in", "reset_down_one_in"])
def test_a_reset_loses_the_request_or_its_answer(
    way: str, proxy: Proxy, client: socket.socket, echo: Echo, until: Any
) -> None:
    proxy.weather = Weather(**{way: 1})
    client.sendall(HELLO)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: echo.ends, "the end of the other connection")
    assert echo.heard == (b"" if way == "reset_up_one_in" else HELLO)


def test_half_of_a_connection_may_be_closed(proxy: Proxy, client: socket.socket) -> None:
    proxy.weather = Weather(half_close_one_in=1)
    client.sendall(HELLO)
    assert answered(client, 5) == HELLO
    assert client.recv(1) == b""


def test_without_a_broker_clients_are_sent_away(proxy: Proxy, echo: Echo) -> None:
    echo.close()
    proxy.target = 1
    with (
        socket.create_connection(("127.0.0.1", proxy.port), 10) as client,
        contextlib.suppress(ConnectionResetError),
    ):
        assert client.recv(1) == b""
