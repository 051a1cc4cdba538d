"""Kafka's protocol: a batch a send (Produce 7, Fetch 11), for Apache Kafka and for Headrace."""

import struct
import time
from array import array
from collections import deque
from typing import Final

from bench.latency.schedule import RECORDS_MAX
from bench.latency.wires import Template, value
from headrace.wire.batch import CRC_START, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, peek
from headrace.wire.crc import crc32c
from headrace.wire.records import Record, build_batch, encode_record

__all__ = ["KafkaReceiving", "KafkaSending"]

PRODUCE_VERSION: Final = 7
FETCH_VERSION: Final = 11
ACKS_ALL: Final = -1
FETCH_BYTES_MAX: Final = 4 << 20
FETCH_WAIT_MS: Final = 500
_LAST_DELTA: Final = struct.Struct(">i")


def _template() -> Template:
    """A whole batch; its first records are a batch too once the header says so."""
    now_ms = time.time_ns() // 1_000_000
    content = value()
    records = [Record(timestamp_ms=now_ms, value=content)] * RECORDS_MAX
    ends, end = [], HEADER_BYTES
    for delta, record in enumerate(records):
        end += len(encode_record(record, 0, delta))
        ends.append(end)
    return Template(build_batch(records), ends)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


class KafkaSending:
    def __init__(self, topic: str) -> None:
        batch = _template()
        head = struct.pack(">hhi", 0, PRODUCE_VERSION, 1) + _string("bench")
        head += struct.pack(">hhii", -1, ACKS_ALL, 30_000, 1) + _string(topic)
        head += struct.pack(">ii", 1, 0)
        self._at = 4 + len(head) + 4
        """Where the batch begins: after the frame's length, the head, and its own length."""
        data = bytes(4) + head + bytes(4) + bytes(batch.buffer)
        self._template = Template(data, [self._at + end for end in batch.ends])
        self._counts: deque[int] = deque()
        answer = 4 + 4 + (4 + len(_string(topic)) + 4) + (4 + 2 + 8 + 8 + 8) + 4
        self._answer_bytes = answer
        self._error_at = answer - 4 - (2 + 8 + 8 + 8)
        self._came = b""

    def hello(self) -> tuple[bytes, bytes]:
        return b"", b""

    def encode(self, times_ns: "array[int]") -> memoryview:
        count = len(times_ns)
        frame = self._template.fill(times_ns)
        batch = frame[self._at :]
        struct.pack_into(">i", frame, 0, len(frame) - 4)
        struct.pack_into(">i", frame, self._at - 4, len(batch))
        struct.pack_into(">i", batch, 8, len(batch) - LENGTH_OVERHEAD_BYTES)
        struct.pack_into(">i", batch, 23, count - 1)
        struct.pack_into(">i", batch, 57, count)
        struct.pack_into(">I", batch, 17, crc32c(batch[CRC_START:]))
        self._counts.append(count)
        return frame

    def acknowledged(self, data: bytes) -> int:
        self._came += data
        answers = len(self._came) // self._answer_bytes
        for number in range(answers):
            at = number * self._answer_bytes + self._error_at
            (error,) = struct.unpack_from(">h", self._came, at)
            if error:
                raise RuntimeError(f"a Produce request was answered with error {error}")
        self._came = self._came[answers * self._answer_bytes :]
        return sum(self._counts.popleft() for _ in range(answers))

    def reply(self) -> bytes:
        return b""


class KafkaReceiving:
    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._offset = 0
        self._is_asked = False
        self._places = _template().places
        topic_at = 4 + 4 + 4 + 2 + 4 + 4 + len(_string(topic))
        """After length, correlation id, throttle, error, session id and the number of topics."""
        self._partition_at = topic_at + 4

    def hello(self) -> tuple[bytes, bytes]:
        return b"", b""

    def ask(self) -> bytes:
        if self._is_asked:
            return b""
        self._is_asked = True
        body = struct.pack(">hhi", 1, FETCH_VERSION, 1) + _string("bench")
        body += struct.pack(">iiiibii", -1, FETCH_WAIT_MS, 1, FETCH_BYTES_MAX, 0, 0, -1)
        body += struct.pack(">i", 1) + _string(self._topic)
        body += struct.pack(">iiiqqi", 1, 0, -1, self._offset, -1, FETCH_BYTES_MAX)
        body += struct.pack(">i", 0) + _string("")
        return struct.pack(">i", len(body)) + body

    def parse(self, data: memoryview) -> "tuple[int, array[int]]":
        times_ns = array("q")
        if len(data) < 4:
            return 0, times_ns
        size = 4 + int.from_bytes(data[:4], "big")
        if len(data) < size:
            return 0, times_ns
        self._is_asked = False
        at = self._partition_at
        (error,) = struct.unpack_from(">h", data, at + 4)
        if error:
            raise RuntimeError(f"a Fetch request was answered with error {error}")
        (aborted,) = struct.unpack_from(">i", data, at + 4 + 2 + 8 + 8 + 8)
        at += 4 + 2 + 8 + 8 + 8 + 4 + 16 * max(aborted, 0) + 4
        records_bytes = int.from_bytes(data[at : at + 4], "big", signed=True)
        at += 4
        end = at + max(records_bytes, 0)
        while end - at >= HEADER_BYTES:
            header = peek(data, at)
            if header.size_bytes > end - at:
                break
            batch = data[at : at + header.size_bytes]
            times_ns += self._places.get(batch, header.records_count)
            self._offset = header.next_offset
            at += header.size_bytes
        return size, times_ns
