"""Records reach a socket the same, copied or sent as a file."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.doors.kafka.slices import COPY_BYTES, CopySlice, is_same_machine, send_file
from headrace.testing import RunningBroker
from headrace.testing.raw_client import RawClient, batch, records_of

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
"""Two addresses of this machine, of which the broker has one: the other passes for a stranger's."""


class Part:
    """A range of a file, as a sender sees it."""

    def __init__(self, file: int, position: int, size_bytes: int) -> None:
        self.file, self.position, self.size_bytes = file, position, size_bytes


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 100)
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.mark.parametrize("send", [send_file, CopySlice()], ids=["sendfile", "copy"])
def test_the_range_and_nothing_else_is_sent(send: Any, file: int, ends: Any) -> None:
    near, far = ends
    assert send(near, Part(file, 300, 1000)) == 1000
    near.shutdown(socket.SHUT_WR)
    assert far.recv(4096) == (bytes(range(256)) * 10)[300:1300]
    assert far.recv(1) == b""


@pytest.mark.parametrize("send", [send_file, CopySlice()], ids=["sendfile", "copy"])
def test_a_file_that_ends_early_is_an_error(send: Any, file: int, ends: Any) -> None:
    with pytest.raises(OSError, match="ends 7 bytes before"):
        send(ends[0], Part(file, 256 * 100, 7))


@pytest.mark.parametrize("send", [send_file, CopySlice()], ids=["sendfile", "copy"])
def test_a_socket_that_takes_nothing_blocks(send: Any, file: int, ends: Any) -> None:
    near, _ = ends
    near.setblocking(False)

    def fill() -> None:
        while True:
            assert send(near, Part(file, 0, 25_600)) > 0

    with pytest.raises(BlockingIOError):
        fill()


def connect_from(address: str, broker: RunningBroker) -> RawClient:
    """A client whose end of the connection has that address."""
    client = RawClient(broker.host, broker.port)
    client.socket.close()
    client.socket = socket.create_connection(
        (broker.host, broker.port), timeout=10, source_address=(address, 0)
    )
    return client


@pytest.mark.parametrize("address", [HERE, ELSEWHERE])
def test_clients_here_and_elsewhere_read_the_same(address: str, broker: RunningBroker) -> None:
    broker.create_topic("t")
    values = [b"%d" % number * 5000 for number in range(COPY_BYTES // 5000)]
    try:
        client = connect_from(address, broker)
    except OSError:
        pytest.skip(f"{address} is not an address of this machine")
    with client:
        for value in values:
            client.produce("t", 0, batch([value]))
        read = client.fetch("t", 0, 0, partition_max_bytes=8 << 20).records or b""
        assert [record.value for record in records_of(read)] == values
        peer = "{}:{}".format(*client.socket.getsockname())
        (served,) = [c for c in broker.node.kafka.connections if c.peer == peer]
        assert is_same_machine(served._socket, served.peer_host) is (address == HERE)
