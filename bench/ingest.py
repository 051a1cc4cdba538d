"""What one gRPC stream of many messages costs the door: received, walked, acknowledged, kept
nowhere. The client sends frames made beforehand, as an ingest SDK packs them, and obeys windows.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from hpack import Encoder

from bench.ingest_server import SERVICE
from bench.processes import cpu_s
from bench.report import Row
from headrace.doors.http2 import frames
from headrace.doors.http2.messages import prefixed
from headrace.wire.protobuf import read_fields

__all__ = ["ingest_streams"]

KB = 1024
MB = 1024 * 1024
START_S_MAX = 30
ACK_S_MAX = 60.0


class Shape(NamedTuple):
    """How a client sends."""

    what: str
    message_bytes: int
    records: int
    """In a message."""
    frame_bytes: int
    """About what tonic packs into a DATA frame."""
    aim: str


SHAPES = (
    Shape("gRPC stream, single 100 B records", 100, 1, 3 * KB, "700,000"),
    Shape("gRPC stream, messages of 1000 x 100 B", 100_000, 1000, 50_000, ""),
    Shape("gRPC stream, messages of 1000 x 1 kB", 1_000_000, 1000, 50_000, "1,200,000"),
)


def ingest_streams(settings: Any) -> Iterator[Row]:
    for shape in SHAPES:
        runs = [_run(shape, settings) for _ in range(settings.rounds)]
        yield sorted(runs, key=lambda row: row.value)[len(runs) // 2]


def _run(shape: Shape, settings: Any) -> Row:
    with _server() as (process, port):
        client = _Client(port)
        try:
            burst, messages, content_bytes = _burst(shape)
            before_s = cpu_s([process.pid])
            started = time.perf_counter()
            sent = 0
            while time.perf_counter() - started < settings.seconds:
                if sent * len(burst) >= settings.bytes_max:
                    break
                client.send(burst, content_bytes)
                sent += 1
            client.wait_for(sent * messages)
            elapsed = time.perf_counter() - started
            used_s = cpu_s([process.pid]) - before_s
        finally:
            client.close()
    gigabytes = sent * messages * shape.message_bytes / 1e9
    records = sent * messages * shape.records
    detail = {
        "GB/s": gigabytes / elapsed,
        "server CPU s/GB": used_s / gigabytes,
        "server CPU us/message": used_s / (sent * messages) * 1e6,
    }
    return Row(shape.what, "none", records / elapsed, "records/s", aim=shape.aim, detail=detail)


def _burst(shape: Shape) -> tuple[bytes, int, int]:
    """Whole messages in DATA frames, about 256 KiB or one message; how many they are, and what
    they take of a window."""
    messages = max(1, 256 * KB // shape.message_bytes)
    content = prefixed([os.urandom(shape.message_bytes)] * messages)
    pieces = [
        frames.frame(frames.DATA, 0, 1, content[start : start + shape.frame_bytes])
        for start in range(0, len(content), shape.frame_bytes)
    ]
    return b"".join(pieces), messages, len(content)


class _Client:
    """One connection with one call."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ACK_S_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._acked = 0
        self._windows = [frames.WINDOW_BYTES_INITIAL, 64 * KB]
        """Of the connection and of the stream. The latter begins as our door begins it."""
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{SERVICE}/Stream"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        hello = [
            frames.PREFACE,
            frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: frames.WINDOW_BYTES_MAX}),
            frames.window_update(0, frames.WINDOW_BYTES_MAX - frames.WINDOW_BYTES_INITIAL),
            frames.frame(frames.HEADERS, frames.END_HEADERS, 1, Encoder().encode(headers)),
        ]
        self._socket.sendall(b"".join(hello))

    def send(self, burst: bytes, content_bytes: int) -> None:
        while min(self._windows) < content_bytes:
            self._receive()
        self._windows = [window - content_bytes for window in self._windows]
        self._socket.sendall(burst)
        if select.select([self._socket], [], [], 0)[0]:
            self._receive()

    def wait_for(self, messages: int) -> None:
        while self._acked < messages:
            self._receive()

    def _receive(self) -> None:
        data = self._socket.recv(64 * KB)
        if not data:
            raise ConnectionError("the door closed the connection")
        self._received += data
        position = 0
        while len(self._received) - position >= frames.FRAME_HEAD_BYTES:
            word, _, stream_id = frames.FRAME_HEAD.unpack_from(self._received, position)
            end = position + frames.FRAME_HEAD_BYTES + (word >> 8)
            if end > len(self._received):
                break
            payload = bytes(self._received[position + frames.FRAME_HEAD_BYTES : end])
            self._frame(word & 0xFF, stream_id, payload)
            position = end
        del self._received[:position]

    def _frame(self, kind: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._windows[stream_id] += int.from_bytes(payload)
        elif kind == frames.DATA:  # acks are small: several may share a frame, none is cut
            while payload:
                size = int.from_bytes(payload[1:5])
                for _, _, value in read_fields(memoryview(payload[5 : 5 + size])):
                    self._acked = value if isinstance(value, int) else 0
                payload = payload[5 + size :]
        elif kind in (frames.GOAWAY, frames.RST_STREAM):
            raise ConnectionError(f"the door ended the stream: {payload!r}")

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.ingest_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.stdin.close()
        try:
            process.wait(START_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
