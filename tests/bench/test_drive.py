"""The loops that keep connections busy, against a server of a few lines."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from bench.drive import Lane, one_by_one, read_beside, write, write_and_follow
from bench.systems import Request

RECORDS = 3


@contextlib.contextmanager
def echoing() -> Iterator[socket.socket]:
    """One end of a pair whose other end answers each byte with itself."""
    ours, theirs = socket.socketpair()

    def echo() -> None:
        with contextlib.suppress(OSError):
            while data := theirs.recv(65536):
                theirs.sendall(data)

    thread = threading.Thread(target=echo)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join()
        theirs.close()


class OneByteWriter:
    """Each request is one byte, which comes back as its answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.seen = b""

    def request(self, values: Sequence[bytes], partition: int = 0) -> Request:
        return Request(bytes([partition]), RECORDS, 10, 1)

    def answered(self, data: bytes) -> int:
        self.seen += data
        return len(data)

    def close(self) -> None:
        self.socket.close()


class CountingReader:
    """Each byte that comes back is one record."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def start(self) -> None:
        self.socket.sendall(b"x")

    def receive(self) -> int:
        size = len(self.socket.recv(10))
        self.socket.sendall(b"x" * size)
        return size

    def take(self) -> list[bytes]:
        return []

    def close(self) -> None:
        self.socket.close()


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("connections", [1, 3])
def test_all_that_was_sent_is_answered_within_time_or_volume(window: int, connections: int) -> None:
    with contextlib.ExitStack() as stack:
        writers = [OneByteWriter(stack.enter_context(echoing())) for _ in range(connections)]
        request = writers[0].request([])
        lanes = [Lane(writer, [request], window) for writer in writers]
        made = write(lanes, request, seconds=30, bytes_max=500)
        assert sum(len(writer.seen) for writer in writers) == made.requests
        assert 50 <= made.requests <= 50 + window * connections
        assert made.records == RECORDS * made.requests
        assert made.size_bytes == 10 * made.requests
        assert all(lane.waiting == 0 for lane in lanes)


def test_requests_take_turns_over_partitions() -> None:
    with echoing() as connection:
        writer = OneByteWriter(connection)
        requests = [writer.request([], number) for number in range(7)]
        made = write([Lane(writer, requests, 4)], requests[0], seconds=30, bytes_max=700)
        assert writer.seen == bytes(number % 7 for number in range(made.requests))


def test_followers_have_every_record_at_the_end() -> None:
    with echoing() as sent, echoing() as read:
        writer = OneByteWriter(sent)
        request = writer.request([])
        made, followed = write_and_follow(
            [Lane(writer, [request], 2)],
            [CountingReader(read)],
            request,
            seconds=30,
            bytes_max=100,
        )
        assert followed.records == made.records
        assert followed.elapsed_s >= made.elapsed_s


def test_one_at_a_time_has_a_latency_for_each() -> None:
    with echoing() as connection:
        writer = OneByteWriter(connection)
        made = one_by_one(writer, writer.request([]), seconds=0.02)
        assert len(made.latencies_s) == made.requests == len(writer.seen)


def test_reading_ends_with_the_last_record_and_no_request_open() -> None:
    with echoing() as sent, echoing() as read:
        writer = OneByteWriter(sent)
        found, latencies = read_beside(CountingReader(read), 500, writer, writer.request([]))
        assert found.records == 500
        assert len(writer.seen) == len(latencies)


def test_a_server_that_hangs_up_is_no_answer() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        writer = OneByteWriter(ours)
        with pytest.raises(ConnectionError):
            one_by_one(writer, writer.request([]), seconds=1)
