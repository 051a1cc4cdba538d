"""Requests and answers of the raw driver, against a socket that answers as a broker would."""

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from bench.raw_kafka import KafkaReader, KafkaWriter
from headrace.wire.records import Record, build_batch

TOPIC = b"\0\3log"


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        yield f"{host}:{port}", server


def produce_answer(error: int = 0) -> bytes:
    body = struct.pack(">ii", 1, 1) + TOPIC + struct.pack(">iihqqqi", 1, 0, error, 0, -1, 0, 0)
    return struct.pack(">i", len(body)) + body


def fetch_answer(records: bytes, error: int = 0) -> bytes:
    body = struct.pack(">iihii", 1, 0, 0, 0, 1) + TOPIC
    body += struct.pack(">iihqqqii", 1, 0, error, 0, 0, 0, -1, -1)
    body += struct.pack(">i", len(records)) + records
    return struct.pack(">i", len(body)) + body


def asked_offset(request: bytes) -> int:
    (offset,) = struct.unpack_from(">q", request, len(request) - 6 - 8 - 4 - 8)
    return int(offset)


@pytest.mark.parametrize("piece", [3, 1000])
def test_answers_are_counted_however_they_are_cut(piece: int) -> None:
    answers = produce_answer() * 5
    with listening() as (bootstrap, _), contextlib.closing(KafkaWriter(bootstrap, "log")) as writer:
        pieces = [answers[at : at + piece] for at in range(0, len(answers), piece)]
        assert sum(map(writer.answered, pieces)) == 5


def test_an_error_in_any_answer_is_raised() -> None:
    with (
        listening() as (bootstrap, _),
        contextlib.closing(KafkaWriter(bootstrap, "log")) as writer,
        pytest.raises(RuntimeError, match="error 10"),
    ):
        writer.answered(produce_answer() + produce_answer(error=10))


def batches(sizes: list[int]) -> bytes:
    data, offset = b"", 0
    for count in sizes:
        records = [Record(timestamp_ms=1, value=b"v%d" % (offset + at)) for at in range(count)]
        data += build_batch(records, base_offset=offset)
        offset += count
    return data


@contextlib.contextmanager
def reading(*, keeps_values: bool) -> Iterator[tuple[KafkaReader, socket.socket]]:
    with listening() as (bootstrap, server):
        reader = KafkaReader(bootstrap, "log", 0, 0, keeps_values=keeps_values)
        broker, _ = server.accept()
        with broker, contextlib.closing(reader):
            reader.start()
            yield reader, broker


def receive_some(reader: KafkaReader) -> int:
    """Until records have come."""
    while not (found := reader.receive()):
        pass
    return found


def test_values_are_kept_from_batches_of_any_size() -> None:
    with reading(keeps_values=True) as (reader, broker):
        assert asked_offset(broker.recv(1000)) == 0
        whole = batches([2, 1, 3])
        broker.sendall(fetch_answer(whole + whole[:20]))
        assert receive_some(reader) == 6
        assert reader.take() == [b"v%d" % number for number in range(6)]
        assert asked_offset(broker.recv(1000)) == 6


def test_equal_batches_are_asked_for_as_soon_as_an_answer_says_how_many_it_has() -> None:
    with reading(keeps_values=False) as (reader, broker):
        broker.recv(1000)
        data = batches([2, 2, 2, 2])
        one = len(data) // 4
        broker.sendall(fetch_answer(data[:one]))
        receive_some(reader)
        assert asked_offset(broker.recv(1000)) == 2
        answer = fetch_answer(data[one:])
        broker.sendall(answer[:-1])
        reader.receive()  # its head
        assert asked_offset(broker.recv(1000)) == 8
        broker.sendall(answer[-1:])
        assert receive_some(reader) == 6


def test_unequal_batches_are_not_miscounted() -> None:
    with reading(keeps_values=False) as (reader, broker):
        broker.recv(1000)
        data = batches([2, 2, 3])
        one = len(batches([2]))
        broker.sendall(fetch_answer(data[:one]))
        receive_some(reader)
        broker.sendall(fetch_answer(data[2 * one :] + bytes(one)))
        with pytest.raises(RuntimeError, match="was to be"):
            receive_some(reader)


def test_an_error_of_a_fetch_is_raised() -> None:
    with reading(keeps_values=False) as (reader, broker):
        broker.sendall(fetch_answer(b"", error=6))
        with pytest.raises(RuntimeError, match="error 6"):
            reader.receive()
