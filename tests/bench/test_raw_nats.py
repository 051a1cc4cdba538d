"""Frames of NATS, whole and in pieces, against a socket of this process."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.raw_nats import PULL, PULLS_OPEN, NatsReader, NatsWriter, split_messages


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def message(value: bytes) -> bytes:
    return b"MSG log-0 1 $JS.ACK.log-0.c.1.1.1.1.0 %d\r\n%s\r\n" % (len(value), value)


def status(header: bytes) -> bytes:
    return b"HMSG _INBOX.1 1 %d %d\r\n%s\r\n" % (len(header), len(header), header)


TIMEOUT = status(b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 990\r\n\r\n")


def test_messages_headers_and_the_rest_are_told_apart() -> None:
    data = b"PING\r\n" + message(b"one") + TIMEOUT + b"+OK\r\n" + message(b"a\r\nb")
    values, headers, end = split_messages(data + message(b"cut")[:-1])
    assert values == [b"one", b"a\r\nb"]
    assert len(headers) == 1
    assert end == len(data)


def test_an_error_of_the_server_is_raised() -> None:
    with pytest.raises(RuntimeError, match="Authorization"):
        split_messages(b"-ERR 'Authorization Violation'\r\n")


@given(st.integers(min_value=1, max_value=70))
def test_acknowledgements_are_counted_however_they_are_cut(piece: int) -> None:
    acks = b"".join(
        b"MSG _INBOX.1 1 30\r\n" + b'{"stream":"log-0","seq":%d}\r\n' % number
        for number in range(9)
    )
    with pair() as (ours, _):
        writer = NatsWriter(ours, "log")
        pieces = [acks[at : at + piece] for at in range(0, len(acks), piece)]
        assert sum(map(writer.answered, pieces)) == 9


@pytest.mark.parametrize(
    "answer",
    [
        b'MSG _INBOX.1 1 80\r\n{"error":{"code":503,"description":"insufficient storage"}}\r\n',
        status(b"NATS/1.0 503\r\n\r\n"),
        b"-ERR 'Maximum Payload Violation'\r\n",
    ],
)
def test_a_refused_record_is_no_acknowledgement(answer: bytes) -> None:
    with pair() as (ours, _):
        writer = NatsWriter(ours, "log")
        with pytest.raises(RuntimeError, match="refused"):
            writer.answered(answer)


def test_a_writer_answers_the_pings_of_its_server() -> None:
    with pair() as (ours, theirs):
        writer = NatsWriter(ours, "log")
        theirs.recv(100)
        assert writer.answered(b"PING\r\n") == 0
        assert theirs.recv(100) == b"PONG\r\n"


def test_each_writer_hears_of_its_own_records() -> None:
    with pair() as (ours, _), pair() as (others, _):
        requests = [NatsWriter(end, "log").request([b"x"] * 2, 3) for end in (ours, others)]
    assert requests[0].data != requests[1].data
    assert requests[0].data.startswith(b"PUB log-3 _INBOX.")
    assert (requests[0].records, requests[0].answers, requests[0].size_bytes) == (2, 2, 2)


@pytest.mark.parametrize("keeps_values", [False, True])
@pytest.mark.parametrize("piece", [11, 10_000])
def test_a_reader_counts_whole_records_and_keeps_its_pulls_open(
    keeps_values: bool, piece: int
) -> None:
    values = [b"x" * size for size in (3, 30, 1)]
    data = message(values[0]) + TIMEOUT + b"PING\r\n" + message(values[1]) + message(values[2])
    with pair() as (ours, theirs):
        reader = NatsReader(ours, "$JS.API.pull", keeps_values=keeps_values)
        reader.start()
        assert theirs.recv(10_000).count(b'"batch": %d' % PULL) == PULLS_OPEN
        found = 0
        for at in range(0, len(data), piece):
            theirs.sendall(data[at : at + piece])
            found += reader.receive()
        assert found == 3
        assert reader.take() == (values if keeps_values else [])
        told = theirs.recv(10_000)
        assert told.count(b'"batch"') == 0
        assert b"PONG" in told


def test_a_pull_that_ended_is_made_again() -> None:
    with pair() as (ours, theirs):
        reader = NatsReader(ours, "$JS.API.pull", keeps_values=False)
        reader.start()
        theirs.recv(10_000)
        nothing = status(b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1000\r\n\r\n")
        theirs.sendall(nothing)
        assert reader.receive() == 0
        assert theirs.recv(10_000).count(b'"batch"') == 1
