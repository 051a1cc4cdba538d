"""A Kafka client that does nothing but send bytes made beforehand and count what comes back.

It measures the broker and not the client: one batch is encoded once and sent again and again (no
producer id, so nothing is a retry), and answers have one fixed size that is counted, then checked.
"""

import os
import socket
import struct
import time
from typing import NamedTuple

from headrace.wire.records import Record, build_batch

__all__ = ["Connection", "Produced", "batch_of", "fetch_through", "produce", "produce_one_by_one"]

PRODUCE_VERSION = 7
FETCH_VERSION = 11
RECEIVE_BYTES = 1 << 20
CLIENT_ID = b"\0\5bench"


class Produced(NamedTuple):
    """What was acknowledged, and when each request was (seconds, only when sent one by one)."""

    requests: int
    size_bytes: int
    elapsed_s: float
    latencies_s: list[float]


class Connection:
    """A blocking connection to one broker."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self.socket.close()

    def receive(self, view: memoryview) -> None:
        """Fill `view`. Raises ConnectionError when the broker hangs up."""
        while view:
            size = self.socket.recv_into(view)
            if not size:
                raise ConnectionError("the broker closed the connection")
            view = view[size:]


def batch_of(size_bytes: int, record_bytes: int) -> tuple[bytes, int]:
    """A record batch of about `size_bytes` and how many records it holds."""
    value = os.urandom(max(record_bytes - 10, 1))
    count = max(1, (size_bytes - 61) // (len(value) + 8))
    records = [Record(offset, 1_700_000_000_000, None, value, []) for offset in range(count)]
    return build_batch(records), count


def _request(api_key: int, version: int, body: bytes) -> bytes:
    head = struct.pack(">hhi", api_key, version, 1) + CLIENT_ID
    return struct.pack(">i", len(head) + len(body)) + head + body


def _topic(topic: str) -> bytes:
    return struct.pack(">h", len(topic)) + topic.encode()


def _produce_frame(topic: str, partition: int, batch: bytes, acks: int) -> bytes:
    body = struct.pack(">hhii", -1, acks, 30_000, 1) + _topic(topic)
    body += struct.pack(">iii", 1, partition, len(batch)) + batch
    return _request(0, PRODUCE_VERSION, body)


def _answer_bytes(topic: str) -> int:
    """Size of a version 7 answer for one partition: head, arrays, one partition, throttle."""
    return 8 + 4 + len(_topic(topic)) + 4 + (4 + 2 + 8 + 8 + 8) + 4


def _check_answers(answers: bytes, size: int, topic: str) -> None:
    at = 8 + 4 + len(_topic(topic)) + 4 + 4
    for start in range(0, len(answers), size):
        (error,) = struct.unpack_from(">h", answers, start + at)
        if error:
            raise RuntimeError(f"the broker answered a Produce request with error {error}")


def produce(
    connection: Connection,
    topic: str,
    batch: bytes,
    *,
    acks: int,
    window: int,
    seconds: float,
    bytes_max: int,
) -> Produced:
    """Keep `window` requests under way until time or volume is up; then wait for the rest."""
    frame = _produce_frame(topic, 0, batch, acks)
    size = _answer_bytes(topic)
    group = max(1, min(window // 2, 16 * 1024 // len(frame)))
    burst = frame * group
    answers = bytearray()
    sent = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds and sent * len(batch) < bytes_max:
        while sent - len(answers) // size + group <= window:
            connection.socket.sendall(burst)
            sent += group
        answers += _some(connection)
    while len(answers) < sent * size:
        answers += _some(connection)
    elapsed = time.perf_counter() - started
    _check_answers(answers, size, topic)
    return Produced(sent, sent * len(batch), elapsed, [])


def _some(connection: Connection) -> bytes:
    data = connection.socket.recv(RECEIVE_BYTES)
    if not data:
        raise ConnectionError("the broker closed the connection")
    return data


def produce_one_by_one(
    connection: Connection, topic: str, batch: bytes, *, acks: int, seconds: float
) -> Produced:
    """One request at a time: what one small producer waits for its acknowledgement."""
    frame = _produce_frame(topic, 0, batch, acks)
    answer = memoryview(bytearray(_answer_bytes(topic)))
    latencies: list[float] = []
    started = now = time.perf_counter()
    while now - started < seconds:
        connection.socket.sendall(frame)
        connection.receive(answer)
        done = time.perf_counter()
        latencies.append(done - now)
        now = done
        _check_answers(answer.tobytes(), len(answer), topic)
    return Produced(len(latencies), len(latencies) * len(batch), now - started, latencies)


def _fetch_frame(topic: str, partition: int, offset: int, size_bytes_max: int) -> bytes:
    body = struct.pack(">iiiibiii", -1, 500, 1, size_bytes_max, 0, 0, -1, 1) + _topic(topic)
    body += struct.pack(">iiiqqi", 1, partition, -1, offset, -1, size_bytes_max)
    return _request(1, FETCH_VERSION, body + struct.pack(">ih", 0, 0))


def fetch_through(
    connection: Connection,
    topic: str,
    *,
    batch_bytes: int,
    batch_records: int,
    end: int,
    size_bytes_max: int,
) -> Produced:
    """Read partition 0, made of equal batches, from the start to offset `end`; as a prefetching
    consumer does, ask for what follows as soon as an answer says how much it holds."""
    buffer = memoryview(bytearray(size_bytes_max + batch_bytes + 4096))
    partition_at = 4 + 4 + 4 + 2 + 4 + 4 + len(_topic(topic)) + 4
    size_at = partition_at + 4 + 2 + 8 + 8 + 8 + 4 + 4
    head = buffer[: size_at + 4]
    offset = requests = received = 0
    started = time.perf_counter()
    connection.socket.sendall(_fetch_frame(topic, 0, offset, size_bytes_max))
    while offset < end:
        connection.receive(head)
        (error,) = struct.unpack_from(">h", head, partition_at + 4)
        (records,) = struct.unpack_from(">i", head, size_at)
        if error or records < batch_bytes:
            raise RuntimeError(f"Fetch at {offset} of {end}: error {error}, {records} bytes")
        offset += records // batch_bytes * batch_records
        if offset < end:
            connection.socket.sendall(_fetch_frame(topic, 0, offset, size_bytes_max))
        connection.receive(buffer[len(head) : len(head) + records])
        received += records
        requests += 1
    return Produced(requests, received, time.perf_counter() - started, [])
