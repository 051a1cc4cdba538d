"""A client that sends exactly what it is told, right or wrong, and reads what comes back.

For tests of how a broker behaves towards bytes that no good client sends, or sends so. Blocking,
one socket, no retry, no thread:

    with RawClient(broker.host, broker.port) as client:
        client.send_frame(b"nonsense")
        assert client.is_hung_up()
        assert client.produce("flights", 0, batch([b"hello"])).error_code == 0

Calls raise TimeoutError when the broker keeps silent and ConnectionError when it hangs up.
What must not enter: anything that corrects a caller's mistake.
"""

import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from headrace.testing.hot_messages import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from headrace.wire import schema
from headrace.wire.apis import is_flexible, response_header_version
from headrace.wire.batch import peek
from headrace.wire.records import Record, build_batch, read_records

__all__ = ["RawClient", "batch", "fetch_request", "frame", "produce_request", "records_of"]

T = TypeVar("T")

_LENGTH: Final = struct.Struct(">i")
_HEAD: Final = struct.Struct(">hhi")


def frame(body: bytes) -> bytes:
    """`body` behind its length, as it goes over the wire."""
    return _LENGTH.pack(len(body)) + body


def batch(values: Sequence[bytes], **fields: Any) -> bytes:
    """A record batch of these values, now; `fields` as in `build_batch`."""
    now_ms = time.time_ns() // 1_000_000
    return build_batch([Record(timestamp_ms=now_ms, value=value) for value in values], **fields)


def records_of(data: bytes) -> list[Record]:
    """The records of all batches in `data`."""
    records: list[Record] = []
    view = memoryview(data)
    while view:
        size = peek(view).size_bytes
        records += read_records(view[:size])
        view = view[size:]
    return records


def produce_request(
    topic: str | UUID, partition: int, records: bytes | None, acks: int = -1
) -> ProduceRequest:
    """One batch for one partition; a UUID names the topic from version 13 on."""
    data = [PartitionProduceData(index=partition, records=records)]
    named = (
        TopicProduceData(topic_id=topic, partition_data=data)
        if isinstance(topic, UUID)
        else TopicProduceData(name=topic, partition_data=data)
    )
    return ProduceRequest(acks=acks, topic_data=[named])


def fetch_request(
    topic: str | UUID,
    partition: int,
    offset: int,
    *,
    max_wait_ms: int = 0,
    min_bytes: int = 1,
    partition_max_bytes: int = 1 << 20,
) -> FetchRequest:
    """One partition from `offset` on; a UUID names the topic from version 13 on."""
    wants = [
        FetchPartition(
            partition=partition, fetch_offset=offset, partition_max_bytes=partition_max_bytes
        )
    ]
    named = (
        FetchTopic(topic_id=topic, partitions=wants)
        if isinstance(topic, UUID)
        else FetchTopic(topic=topic, partitions=wants)
    )
    return FetchRequest(max_wait_ms=max_wait_ms, min_bytes=min_bytes, topics=[named])


def _next_offset(data: bytes) -> int:
    """The one after the last batch, whose last records compaction may have removed."""
    position = next_offset = 0
    while position < len(data):
        header = peek(data, position)
        position += header.size_bytes
        next_offset = header.next_offset
    return next_offset


class RawClient:
    """One connection. Correlation ids count up from 1 unless a call says otherwise."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 10.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation_id = 0

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # Bytes and frames

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_frame(self, body: bytes) -> None:
        self.socket.sendall(frame(body))

    def read_frame(self) -> bytes:
        """The next frame without its length."""
        (size,) = _LENGTH.unpack(self.read_exactly(4))
        return self.read_exactly(size)

    def read_exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self.socket.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise ConnectionError(f"the broker hung up {size - len(parts)} bytes too early")
            parts += part
        return bytes(parts)

    def is_hung_up(self) -> bool:
        """Whether the broker closes the connection without another byte. Waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def is_silent(self, wait_s: float) -> bool:
        """Whether nothing comes, not even the end, for so long."""
        timeout_s = self.socket.gettimeout()
        self.socket.settimeout(wait_s)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(timeout_s)
        return False

    # Messages

    def head(self, api_key: int, version: int, *, client_id: str = "raw") -> bytes:
        """A request header with the next correlation id."""
        self.correlation_id += 1
        name = client_id.encode()
        head = _HEAD.pack(api_key, version, self.correlation_id)
        head += struct.pack(">h", len(name)) + name
        return head + (b"\0" if is_flexible(api_key, version) else b"")

    def framed(self, request: Any, version: int) -> bytes:
        """The request as a frame with the next correlation id, not sent."""
        body = schema.encode(request, version)
        return frame(self.head(schema.api_key_of(type(request)), version) + body)

    def send_request(self, request: Any, version: int) -> int:
        """Send and return the correlation id."""
        self.send(self.framed(request, version))
        return self.correlation_id

    def read_answer(self, response: type[T], version: int) -> tuple[int, T]:
        """(correlation id, message) of the next frame."""
        data = self.read_frame()
        (correlation_id,) = _LENGTH.unpack_from(data)
        tags = response_header_version(schema.api_key_of(response), version)
        return correlation_id, schema.decode(response, version, data, 4 + tags)

    def ask(self, request: Any, response: type[T], version: int) -> T:
        """Send and read one answer, which must be the one to this request."""
        asked = self.send_request(request, version)
        answered, message = self.read_answer(response, version)
        if answered != asked:
            raise ConnectionError(f"answer {answered} where {asked} was asked")
        return message

    def produce(
        self,
        topic: str | UUID,
        partition: int,
        records: bytes | None,
        *,
        acks: int = -1,
        version: int | None = None,
    ) -> PartitionProduceResponse:
        version = version or (13 if isinstance(topic, UUID) else 12)
        request = produce_request(topic, partition, records, acks)
        answer = self.ask(request, ProduceResponse, version)
        return answer.responses[0].partition_responses[0]

    def fetch(
        self,
        topic: str | UUID,
        partition: int,
        offset: int,
        *,
        version: int | None = None,
        **limits: int,
    ) -> PartitionData:
        """`limits` as in `fetch_request`."""
        version = version or (17 if isinstance(topic, UUID) else 12)
        request = fetch_request(topic, partition, offset, **limits)
        answer = self.ask(request, FetchResponse, version)
        return answer.responses[0].partitions[0]

    def read_all(self, topic: str, partition: int, offset: int = 0) -> list[Record]:
        """Every record from `offset` to the high watermark."""
        records: list[Record] = []
        while True:
            data = self.fetch(topic, partition, offset)
            if data.error_code:
                raise ConnectionError(f"Fetch of {topic}-{partition}: error {data.error_code}")
            if not data.records:
                return records
            found = [record for record in records_of(data.records) if record.offset >= offset]
            records += found
            offset = _next_offset(data.records)
