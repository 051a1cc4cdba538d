"""Commands and answers of RESP, whole and in pieces, against a socket of this process."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.raw_redis import RedisReader, RedisWriter, command, parse


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def answer_to_xread(ids: list[str], values: list[bytes]) -> bytes:
    entries = b"".join(
        b"*2\r\n$%d\r\n%s\r\n*2\r\n$1\r\nv\r\n$%d\r\n%s\r\n"
        % (len(at), at.encode(), len(value), value)
        for at, value in zip(ids, values, strict=True)
    )
    return b"*1\r\n*2\r\n$3\r\nkey\r\n*%d\r\n%s" % (len(ids), entries)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_a_command_reads_back_as_its_words(words: list[bytes]) -> None:
    data = command(*words)
    assert parse(data) == (words, len(data))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"+PONG\r\n", "PONG"),
        (b":12\r\n", 12),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*2\r\n$1\r\na\r\n*1\r\n:3\r\n", [b"a", [3]]),
    ],
)
def test_values_are_read_whole_and_no_prefix_is_one(data: bytes, value: object) -> None:
    assert parse(data) == (value, len(data))
    for end in range(len(data)):
        with pytest.raises(IndexError):
            parse(data[:end])


def test_an_error_says_what_redis_said() -> None:
    with pytest.raises(RuntimeError, match="OOM command not allowed"):
        parse(b"-OOM command not allowed\r\n")


@given(st.integers(min_value=1, max_value=40))
def test_answers_are_counted_however_they_are_cut(piece: int) -> None:
    answers = b"".join(b"$15\r\n1700000000000-%d\r\n" % (number % 10) for number in range(9))
    with pair() as (ours, _):
        writer = RedisWriter(ours, "log")
        pieces = [answers[at : at + piece] for at in range(0, len(answers), piece)]
        assert sum(map(writer.answered, pieces)) == 9


def test_a_refused_record_is_no_answer() -> None:
    with pair() as (ours, _):
        writer = RedisWriter(ours, "log")
        writer.answered(b"$3\r\n1-1\r\n")
        with pytest.raises(RuntimeError, match="MISCONF"):
            writer.answered(b"-MISCONF the disk is full\r\n")


def test_a_request_is_one_command_for_each_record() -> None:
    with pair() as (ours, _):
        request = RedisWriter(ours, "log").request([b"one", b"three"], partition=2)
    first = command("XADD", "log-2", "*", "v", b"one")
    assert request.data == first + command("XADD", "log-2", "*", "v", b"three")
    assert (request.records, request.size_bytes, request.answers) == (2, 8, 2)


@pytest.mark.parametrize("piece", [7, 10_000])
def test_a_reader_asks_for_what_follows_the_last_entry(piece: int) -> None:
    values = [b"A" * 5, b"", b"C" * 30]
    data = answer_to_xread(["1-0", "1-1", "20-5"], values)
    with pair() as (ours, theirs):
        reader = RedisReader(ours, "key", "0", keeps_values=True)
        reader.start()
        theirs.recv(1000)
        found = 0
        for at in range(0, len(data), piece):
            theirs.sendall(data[at : at + piece])
            found += reader.receive()
        assert found == 3
        assert reader.take() == values
        assert reader.take() == []
        assert parse(theirs.recv(1000))[0][-1] == b"20-5"


def test_a_reader_that_hears_of_nothing_asks_again() -> None:
    with pair() as (ours, theirs):
        reader = RedisReader(ours, "key", "0", keeps_values=False)
        reader.start()
        first = theirs.recv(1000)
        theirs.sendall(b"*-1\r\n")
        assert reader.receive() == 0
        assert theirs.recv(1000) == first
