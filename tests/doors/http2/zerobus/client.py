"""A client of the Zerobus streams on grpcio that says exactly what a test wants it to.

The official SDK for Python keeps to the rules and has no persistent streams. One call, one thread:

    with ZerobusClient(target) as client:
        stream = client.open("PersistentStream", create("c.s.t", JSON, persistent=True))
        stream.created()                       # the stream's id
        stream.send(record(0, b"{}", persistent=True))
        stream.acked(0)

Needs grpcio, which is there in tests only. What must not enter: rules.
"""

import queue
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc

from headrace.wire.protobuf import put_bytes, put_varint, read_fields, to_int64

__all__ = [
    "AVRO",
    "JSON",
    "PROTO",
    "ZerobusClient",
    "ZerobusStream",
    "batch",
    "create",
    "message",
    "record",
    "resume",
]

PROTO: Final = 1
JSON: Final = 2
AVRO: Final = 4
ANSWER_S_MAX: Final = 15.0
_ARMS: Final = {PROTO: 2, JSON: 3, AVRO: 4}
_HEADER: Final = "x-databricks-zerobus-table-name"


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A message of varint and length-delimited fields."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            put_varint(out, number, value)
        else:
            put_bytes(out, number, value)
    return bytes(out)


def create(
    table: str, record_type: int, descriptor: bytes = b"", *, persistent: bool = False
) -> bytes:
    inner = message((1, table.encode()), (3, descriptor), (4, record_type))
    return message((1, message((1, inner)) if persistent else inner))


def resume(stream_id: str, record_type: int) -> bytes:
    return message((2, message((1, stream_id.encode()), (3, record_type))))


def record(offset: int, value: bytes, kind: int = JSON, *, persistent: bool = False) -> bytes:
    return message((3 if persistent else 2, message((1, offset), (_ARMS[kind], value))))


def batch(
    offset: int, values: Sequence[bytes], kind: int = JSON, *, persistent: bool = False
) -> bytes:
    inner = message(*((1, value) for value in values))
    return message((4 if persistent else 3, message((1, offset), (_ARMS[kind], inner))))


class ZerobusStream:
    """One call. Whatever it waits for comes within ANSWER_S_MAX, or grpc.RpcError is raised."""

    def __init__(self, channel: grpc.Channel, path: str, metadata: Sequence[tuple[str, str]]):
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        start = channel.stream_stream(path)
        self.call: Any = start(iter(self._requests.get, None), metadata=metadata)
        self._is_persistent = path.endswith("PersistentStream")

    def send(self, *messages: bytes) -> None:
        for each in messages:
            self._requests.put(each)

    def answers(self) -> Iterator[tuple[int, dict[int, int | bytes]]]:
        """(field of the response's oneof, what is in it by field number)"""
        for answer in self.call:
            for number, _, value in read_fields(memoryview(answer)):
                if not isinstance(value, int):
                    inner = read_fields(value)
                    yield number, {n: v if isinstance(v, int) else bytes(v) for n, _, v in inner}

    def created(self) -> str:
        """The stream's id."""
        number, fields = next(self.answers())
        stream_id = fields[1]
        assert number == 1
        assert isinstance(stream_id, bytes)
        return stream_id.decode()

    def resumed(self) -> int:
        """The last committed offset; -1: none."""
        number, fields = next(self.answers())
        assert number == 2
        offset = fields.get(1, -1)
        assert isinstance(offset, int)
        return offset

    def acked(self, offset: int) -> None:
        """Wait until it is."""
        deadline = time.monotonic() + ANSWER_S_MAX
        for number, fields in self.answers():
            up_to = fields.get(1)
            is_ack = number == (3 if self._is_persistent else 2) and isinstance(up_to, int)
            if is_ack and isinstance(up_to, int) and to_int64(up_to) >= offset:
                return
            if time.monotonic() > deadline:
                break
        raise AssertionError(f"offset {offset} was not acknowledged: {self.status()}")

    def end(self) -> None:
        """Send no more."""
        self._requests.put(None)

    def status(self) -> tuple[grpc.StatusCode, str]:
        """Read to the end; how it ended, and why."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError:
            pass
        return self.call.code(), self.call.details()

    def cancel(self) -> None:
        self.call.cancel()
        self._requests.put(None)


class ZerobusClient:
    """One connection. Its streams end with it."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(
            target, options=(("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        )
        self._streams: list[ZerobusStream] = []

    def open(
        self,
        method: str = "EphemeralStream",
        *messages: bytes,
        table: str = "",
        service: str = "databricks.zerobus.Zerobus",
        token: str = "",
    ) -> ZerobusStream:
        metadata = [(_HEADER, table)] if table else []
        metadata += [("authorization", f"Bearer {token}")] if token else []
        stream = ZerobusStream(self._channel, f"/{service}/{method}", metadata)
        self._streams.append(stream)
        stream.send(*messages)
        return stream

    def retire(self, table: str, stream_id: str) -> None:
        """Raises grpc.RpcError."""
        call = self._channel.unary_unary("/databricks.zerobus.Zerobus/RetireStream")
        call(message((1, table.encode()), (2, stream_id.encode())), timeout=ANSWER_S_MAX)

    def __enter__(self) -> "ZerobusClient":
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.cancel()
        self._channel.close()
