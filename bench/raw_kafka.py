"""A Kafka client that does nothing but send bytes made beforehand and count what comes back.

It measures the broker and not the client: one batch is encoded once and sent again and again (no
producer id, so nothing is a retry), and answers have one fixed size that is counted, then checked.
Topics are made and looked at with librdkafka.
"""

import socket
import struct
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.systems import Durability, Reader, Request, Writer
from headrace.wire.records import Record, build_batch, read_records

__all__ = ["KafkaDriver", "connect"]

PRODUCE_VERSION: Final = 7
FETCH_VERSION: Final = 11
ACKS_ALL: Final = -1
CLIENT_ID: Final = b"\0\5bench"
BATCH_BYTES_MAX: Final = 2 << 20
FETCH_BYTES_MAX: Final = 4 << 20
WAIT_S: Final = 60.0
LED_S_MAX: Final = 120.0
"""A thousand partitions take a while on a busy machine."""
HEADER: Final = struct.Struct(">qi")
"""Base offset and length of a batch, which does not count these twelve bytes."""
COUNT_AT: Final = 57


def connect(bootstrap: str) -> socket.socket:
    host, _, port = bootstrap.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=WAIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _frame(api_key: int, version: int, body: bytes) -> bytes:
    head = struct.pack(">hhi", api_key, version, 1) + CLIENT_ID
    return struct.pack(">i", len(head) + len(body)) + head + body


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


class KafkaWriter:
    def __init__(self, bootstrap: str, topic: str, acks: int = ACKS_ALL) -> None:
        self.socket = connect(bootstrap)
        self._topic = _string(topic)
        self._acks = acks
        self._answer_bytes = 8 + 4 + len(self._topic) + 4 + (4 + 2 + 8 + 8 + 8) + 4
        """Of version 7, for one partition: head, arrays, the partition, throttle time."""
        self._error_at = 8 + 4 + len(self._topic) + 4 + 4
        self._rest = b""

    def request(self, values: Sequence[bytes], partition: int = 0) -> Request:
        now_ms = time.time_ns() // 1_000_000
        batch = build_batch([Record(timestamp_ms=now_ms, value=value) for value in values])
        return self.request_of(batch, len(values), sum(map(len, values)), partition)

    def request_of(self, batch: bytes, records: int, size_bytes: int, partition: int) -> Request:
        """For a batch that somebody else has made."""
        body = struct.pack(">hhii", -1, self._acks, 30_000, 1) + self._topic
        body += struct.pack(">iii", 1, partition, len(batch)) + batch
        return Request(_frame(0, PRODUCE_VERSION, body), records, size_bytes, 1)

    def answered(self, data: bytes) -> int:
        data = self._rest + data if self._rest else data
        count = len(data) // self._answer_bytes
        for start in range(0, count * self._answer_bytes, self._answer_bytes):
            (error,) = struct.unpack_from(">h", data, start + self._error_at)
            if error:
                raise RuntimeError(f"the broker answered a Produce request with error {error}")
        self._rest = data[count * self._answer_bytes :]
        return count

    def close(self) -> None:
        self.socket.close()


class KafkaReader:
    """Asks for what follows as soon as an answer says how much it holds, for which all batches
    have to be of one size and count, as `KafkaWriter` sends them; checked at every answer. With
    `keeps_values` batches may be any, and the next request waits until the answer is whole."""

    def __init__(
        self, bootstrap: str, topic: str, partition: int, offset: int, *, keeps_values: bool
    ) -> None:
        self.socket = connect(bootstrap)
        self._topic = _string(topic)
        self._partition = partition
        self._offset = offset
        self._keeps = keeps_values
        self._values: list[bytes] = []
        self._buffer = memoryview(bytearray(FETCH_BYTES_MAX + BATCH_BYTES_MAX + 4096))
        self._filled = 0
        self._whole = 0
        """Size of the answer that comes, 0 until its head is here."""
        self._partition_at = 4 + 4 + 4 + 2 + 4 + 4 + len(self._topic) + 4
        self._head_bytes = self._partition_at + 4 + 2 + 8 + 8 + 8 + 4 + 4 + 4
        self._batch = (0, 0)
        """Bytes and records of a batch, as the first answer has them."""

    def start(self) -> None:
        self._ask()

    def _ask(self) -> None:
        body = struct.pack(">iiiibiii", -1, 500, 1, FETCH_BYTES_MAX, 0, 0, -1, 1) + self._topic
        body += struct.pack(">iiiqqi", 1, self._partition, -1, self._offset, -1, FETCH_BYTES_MAX)
        self.socket.sendall(_frame(1, FETCH_VERSION, body + struct.pack(">ih", 0, 0)))

    def receive(self) -> int:
        end = self._whole or self._head_bytes
        size = self.socket.recv_into(self._buffer[self._filled : end])
        if not size:
            raise ConnectionError("the broker closed the connection")
        self._filled += size
        if not self._whole and self._filled == self._head_bytes:
            self._read_head()
        if not self._whole or self._filled < self._whole:
            return 0
        return self._finish()

    def _read_head(self) -> None:
        at = self._partition_at + 4
        (error,) = struct.unpack_from(">h", self._buffer, at)
        if error:
            raise RuntimeError(f"the broker answered Fetch at {self._offset} with error {error}")
        self._whole = self._head_bytes + self._records_bytes()
        batch_bytes, batch_records = self._batch
        if batch_bytes and not self._keeps:
            self._offset += self._records_bytes() // batch_bytes * batch_records
            self._ask()

    def _records_bytes(self) -> int:
        (size,) = struct.unpack_from(">i", self._buffer, self._head_bytes - 4)
        return max(int(size), 0)

    def _finish(self) -> int:
        """The answer is whole: how many records it has. Asks for the next if that is not done."""
        records = self._buffer[self._head_bytes : self._whole]
        self._filled = self._whole = 0
        if self._batch[0] and not self._keeps:
            return self._check_equal(records)
        before, position = self._offset, 0
        while position + HEADER.size <= len(records):
            base_offset, length = HEADER.unpack_from(records, position)
            end = position + HEADER.size + length
            if end > len(records):
                break  # a batch that was cut off at the size limit; it comes again
            (count,) = struct.unpack_from(">i", records, position + COUNT_AT)
            if self._keeps:
                self._keep(records[position:end])
            else:
                self._batch = (HEADER.size + length, count)
            self._offset = base_offset + count
            position = end
        self._ask()
        return self._offset - before

    def _check_equal(self, records: memoryview) -> int:
        batch_bytes, batch_records = self._batch
        batches = len(records) // batch_bytes
        if batches:
            last = (batches - 1) * batch_bytes
            base_offset, length = HEADER.unpack_from(records, last)
            expected = self._offset - batch_records
            if base_offset != expected or length + HEADER.size != batch_bytes:
                raise RuntimeError(f"batch at {base_offset} where {expected} was to be")
        return batches * batch_records

    def _keep(self, batch: memoryview) -> None:
        self._values += [record.value or b"" for record in read_records(batch)]

    def take(self) -> list[bytes]:
        values, self._values = self._values, []
        return values

    def close(self) -> None:
        self.socket.close()


class KafkaDriver:
    """For durable rows it asks for `flush.messages=1`: a peer that acknowledges from the page
    cache syncs before it answers, as Headrace does without being asked."""

    records_under_way_max = 0

    def __init__(self, bootstrap: str, durability: Durability) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._config = {"max.message.bytes": str(BATCH_BYTES_MAX)}
        if durability == "fsync":
            self._config["flush.messages"] = "1"
        self._partitions: dict[str, int] = {}

    def create(self, log: str, partitions: int = 1) -> None:
        topic = NewTopic(log, partitions, 1, config=self._config)
        self._admin.create_topics([topic])[log].result(WAIT_S)
        self._partitions[log] = partitions
        self._wait_until_led(log)

    def _wait_until_led(self, log: str) -> None:
        """A peer may answer that the topic is created just before its broker takes it over, and
        this driver does not retry."""
        deadline = time.monotonic() + LED_S_MAX
        while True:
            try:
                self.count(log)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def delete(self, log: str) -> None:
        self._admin.delete_topics([log])[log].result(WAIT_S)
        deadline = time.monotonic() + LED_S_MAX
        while self._exists(log) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _exists(self, log: str) -> bool:
        found: Future[Any] = self._admin.describe_topics(TopicCollection([log]))[log]
        try:
            found.result(WAIT_S)
        except KafkaException:
            return False
        return True

    def count(self, log: str) -> int:
        return sum(self._ends(log))

    def _ends(self, log: str) -> list[int]:
        wanted = {
            TopicPartition(log, number): OffsetSpec.latest()
            for number in range(self._partitions[log])
        }
        found = self._admin.list_offsets(wanted, request_timeout=WAIT_S)
        return [found[partition].result(WAIT_S).offset for partition in wanted]

    def writer(self, log: str) -> Writer:
        return KafkaWriter(self.bootstrap, log)

    def reader(
        self, log: str, partition: int = 0, *, keeps_values: bool = False, tail: bool = False
    ) -> Reader:
        offset = self._ends(log)[partition] if tail else 0
        return KafkaReader(self.bootstrap, log, partition, offset, keeps_values=keeps_values)
