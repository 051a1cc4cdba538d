"""Targets: HTTP/1.1, HTTP/2 with gRPC, and what the stream services are told.

The first byte of an input to `messages` chooses the reader.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from headrace.doors.http.head import BadRequest, read_request
from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ErrorCode
from headrace.doors.http2.limits import GrpcLimits
from headrace.doors.http2.zerobus.checks import check_for
from headrace.wire.arrow_flight import read_flight_data, read_header
from headrace.wire.cloudevents import Event, InvalidEventError, event_of, record_of
from headrace.wire.errors import MalformedError
from headrace.wire.headrace_v1 import (
    OpenPublish,
    read_publish_request,
    read_publish_response,
    read_retire,
    read_subscribe_request,
    read_subscribe_response,
    write_event,
    write_event_batch,
    write_publish_request,
)
from headrace.wire.protobuf_shape import read_shape
from headrace.wire.records import Record
from headrace.wire.zerobus import EPHEMERAL, PERSISTENT, RecordType, take_singles
from headrace.wire.zerobus import read_request as read_ingest
from headrace.wire.zerobus import read_retire as read_stream_retire
from proof.fuzz.target import Target

__all__ = ["HTTP", "HTTP2", "MESSAGES"]

HTTP_BYTES_MAX: Final = 40_000


def _try_http(data: bytes) -> None:
    received = bytearray(data)
    with contextlib.suppress(BadRequest):
        while (found := read_request(received, ("/groups", "/streams"))) is not None:
            _, size = found
            assert 0 < size <= len(received)
            del received[:size]


def _http() -> Iterator[bytes]:
    yield b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    kept_alive = b"GET /topics?name=a&name=%20b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    yield kept_alive + b"HEAD / HTTP/1.1\r\n\r\n"
    yield b"POST /groups HTTP/1.1\r\nContent-Length: 5\r\nAuthorization: Bearer x\r\n\r\nhello"
    yield b"PUT //[::1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nOrigin: y\r\n\r\n"


LIMITS: Final = GrpcLimits(
    streams_max=8,
    stream_window_bytes_max=128 * 1024,
    receive_bytes_max=1024 * 1024,
    message_bytes_max=64 * 1024,
)


def _try_http2(data: bytes) -> None:
    """Greeted, then told anything; it answers or ends by a code, and gives back what it held."""
    from tests.doors.http2.peer import Peer

    peer = Peer(LIMITS)
    cut = data[0] if data else 0
    peer.say(data[1:], piece=cut if cut < 100 else 0)
    goaway = peer.goaway()
    assert goaway is None or goaway[1] in list(ErrorCode), goaway
    assert len(peer.server.http.streams) == peer.budget.streams <= LIMITS.streams_max
    peer.server.lost()
    held = (peer.budget.held_bytes, peer.budget.streams, peer.budget.unsent_bytes)
    assert held == (0, 0, 0), held


def _http2() -> Iterator[bytes]:
    from tests.doors.http2.peer import Peer

    peer = Peer(LIMITS)
    content = b"\0\0\0\0\5hello"
    opened = peer.headers(1, "/t.T/Echo", ("grpc-timeout", "1S"))
    yield b"\0" + opened + frames.frame(frames.DATA, frames.END_STREAM, 1, content)
    yield b"\7" + peer.headers(3) + frames.rst_stream(3, ErrorCode.CANCEL)
    yield b"\0" + frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 5})
    yield b"\0" + frames.window_update(0, 100) + frames.frame(frames.PING, 0, 0, b"12345678")
    yield b"\3" + peer.headers(5, ends=True) + frames.frame(frames.GOAWAY, 0, 0, bytes(8))


def _try_singles(data: bytes) -> None:
    into: list[memoryview] = []
    for cut in (len(data), len(data) // 2):
        take_singles(memoryview(data), [cut, len(data)], 0, 3, RecordType.JSON, 2, into)


def _try_event(data: bytes) -> None:
    """Any record is an event, and can be told to a subscriber."""
    cut = data[0] % (len(data) + 1) if data else 0
    headers = (("content-type", b"application/cloudevents+json"), ("ce_id", data[1:cut]))
    for told in (headers, (("ce_specversion", b"1.0"), ("ce_id", b"1"), *headers[1:])):
        event, _ = event_of(Record(5, 6, data[1:cut], data[cut:], told), "t", 0)
        write_event(event)
        with contextlib.suppress(InvalidEventError):
            record_of(event)


def _try_shape(data: bytes) -> None:
    cut = data[0] % (len(data) + 1) if data else 0
    shape = read_shape(data[1:cut])
    shape.check(memoryview(data[cut:]))


def _try_json(data: bytes) -> None:
    check = check_for(RecordType.JSON, b"")
    assert check is not None
    check(memoryview(data))


_READERS: Final[tuple[Callable[[bytes], object], ...]] = (
    lambda data: read_ingest(memoryview(data), EPHEMERAL),
    lambda data: read_ingest(memoryview(data), PERSISTENT),
    lambda data: read_stream_retire(memoryview(data)),
    lambda data: read_header(read_flight_data(memoryview(data)).header),
    lambda data: read_publish_request(memoryview(data)),
    lambda data: read_publish_response(memoryview(data)),
    lambda data: read_subscribe_request(memoryview(data)),
    lambda data: read_subscribe_response(memoryview(data)),
    lambda data: read_retire(memoryview(data)),
    _try_singles,
    _try_event,
    _try_shape,
    _try_json,
)


def _try_message(data: bytes) -> None:
    if data:
        with contextlib.suppress(MalformedError):
            _READERS[data[0] % len(_READERS)](data[1:])


def _messages() -> Iterator[bytes]:
    from tests.doors.http2.zerobus.client import JSON, PROTO, batch, create, record, resume

    for kind, persistent in ((0, False), (1, True)):
        yield bytes([kind]) + create("t", PROTO, b"descriptor", persistent=persistent)
        yield bytes([kind]) + record(3, b"{}", JSON, persistent=persistent)
        yield bytes([kind]) + batch(3, [b"{}", b"[]"], JSON, persistent=persistent)
    yield b"\1" + resume("id", JSON)
    yield b"\2" + b"\x0a\x02id"
    yield b"\4" + write_publish_request(OpenPublish("t"))
    event = write_event(Event(id="1", source="/f", type="t", data=b"d"))
    yield b"\4" + write_event_batch(0, [event, event])
    yield b"\x09" + b"\0\0\0\0\x08" + record(3, b"{}", JSON)
    structured = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":[1]},"x":2}'
    yield b"\x0a\2k" + structured
    yield (b'\x0a\1{"specversion":"1.0","id":"\\ud800","source":"/s","type":"t","data":"\\ud800"}')
    field = b"\x0a\x01a\x18\x01\x20\x01\x28\x09"
    yield b"\x0b\x10" + b"\x0a\x01M\x12" + bytes([len(field)]) + field + b"\x0a\x01v"
    yield b"\x0c" + b'{"a": [1, 2, {"b": null}], "c": "\\ud800"}'


HTTP: Final = Target("http", _try_http, _http, ("headrace.doors.http",), HTTP_BYTES_MAX)
HTTP2: Final = Target("http2", _try_http2, _http2, ("headrace.doors.http2",), 16_384)
MESSAGES: Final = Target(
    "messages", _try_message, _messages, ("headrace.wire", "headrace.doors.http2")
)
