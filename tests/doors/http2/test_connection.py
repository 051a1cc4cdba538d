"""The rules of RFC 9113: what each breach costs, and whom."""

import struct
from typing import Any

import pytest

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ErrorCode, Setting, frame
from headrace.doors.http2.limits import GrpcLimits, Rate
from headrace.doors.http2.messages import prefixed

E = ErrorCode
HELLO = frames.PREFACE + frames.settings({})
NEVER = Rate(0, 0)


def setting(key: int, value: int) -> bytes:
    return frame(frames.SETTINGS, 0, 0, struct.pack(">HI", key, value))


def test_it_greets_once_the_client_has(make_peer: Any) -> None:
    peer = make_peer(greets=False)
    assert peer.say(frames.PREFACE[:-1]) == []
    greeting, window = peer.say(frames.PREFACE[-1:])
    assert greeting.kind == frames.SETTINGS
    values = dict(struct.iter_unpack(">HI", greeting.payload))
    assert values[Setting.MAX_CONCURRENT_STREAMS] == peer.limits.streams_max
    assert values[Setting.INITIAL_WINDOW_SIZE] == peer.limits.stream_window_bytes_min
    assert window.kind == frames.WINDOW_UPDATE
    assert int.from_bytes(window.payload) == peer.limits.window_bytes - 65_535
    (ack,) = peer.say(frames.settings({}))
    assert (ack.kind, ack.flags) == (frames.SETTINGS, frames.ACK)


def test_a_ping_comes_back(peer: Any) -> None:
    (pong,) = peer.say(frame(frames.PING, 0, 0, b"12345678"))
    assert pong == (frames.PING, frames.ACK, 0, b"12345678")
    assert peer.say(frame(frames.PING, frames.ACK, 0, b"12345678")) == []


CONNECTION_FAULTS = {
    "no settings first": (None, frame(frames.PING, 0, 0, bytes(8)), E.PROTOCOL_ERROR),
    "data before settings": (None, frame(frames.DATA, 0, 1), E.PROTOCOL_ERROR),
    "settings on a stream": (HELLO, frame(frames.SETTINGS, 0, 1), E.PROTOCOL_ERROR),
    "settings cut short": (HELLO, frame(frames.SETTINGS, 0, 0, b"12345"), E.FRAME_SIZE_ERROR),
    "ack with content": (HELLO, frame(frames.SETTINGS, 1, 0, bytes(6)), E.FRAME_SIZE_ERROR),
    "push": (HELLO, setting(Setting.ENABLE_PUSH, 2), E.PROTOCOL_ERROR),
    "window": (HELLO, setting(Setting.INITIAL_WINDOW_SIZE, 1 << 31), E.FLOW_CONTROL_ERROR),
    "small frames": (HELLO, setting(Setting.MAX_FRAME_SIZE, 16_383), E.PROTOCOL_ERROR),
    "large frames": (HELLO, setting(Setting.MAX_FRAME_SIZE, 1 << 24), E.PROTOCOL_ERROR),
    "short ping": (HELLO, frame(frames.PING, 0, 0, b"1"), E.FRAME_SIZE_ERROR),
    "ping on a stream": (HELLO, frame(frames.PING, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    "goaway on a stream": (HELLO, frame(frames.GOAWAY, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    "push promise": (HELLO, frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), E.PROTOCOL_ERROR),
    "data on the connection": (HELLO, frame(frames.DATA, 0, 0, b"x"), E.PROTOCOL_ERROR),
    "data on an idle stream": (HELLO, frame(frames.DATA, 0, 1, b"x"), E.PROTOCOL_ERROR),
    "reset of an idle stream": (HELLO, frames.rst_stream(1, E.CANCEL), E.PROTOCOL_ERROR),
    "short reset": (HELLO, frame(frames.RST_STREAM, 0, 1, b"x"), E.FRAME_SIZE_ERROR),
    "window of an idle stream": (HELLO, frames.window_update(1, 1), E.PROTOCOL_ERROR),
    "window of nothing": (HELLO, frames.window_update(0, 0), E.PROTOCOL_ERROR),
    "window too wide": (HELLO, frames.window_update(0, (1 << 31) - 1), E.FLOW_CONTROL_ERROR),
    "priority of nothing": (HELLO, frame(frames.PRIORITY, 0, 0, bytes(5)), E.PROTOCOL_ERROR),
    "continuation of nothing": (HELLO, frame(frames.CONTINUATION, 4, 1), E.PROTOCOL_ERROR),
    "headers on the connection": (HELLO, frame(frames.HEADERS, 4, 0), E.PROTOCOL_ERROR),
    "headers on an even stream": (HELLO, frame(frames.HEADERS, 4, 2), E.PROTOCOL_ERROR),
    "headers cut by a ping": (
        HELLO,
        frame(frames.HEADERS, 0, 1) + frame(frames.PING, 0, 0, bytes(8)),
        E.PROTOCOL_ERROR,
    ),
    "headers cut by another stream's": (
        HELLO,
        frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 4, 3),
        E.PROTOCOL_ERROR,
    ),
    "headers padded by more than there is": (
        HELLO,
        frame(frames.HEADERS, 4 | frames.PADDED, 1, b"\5abc"),
        E.PROTOCOL_ERROR,
    ),
    "priority cut short": (
        HELLO,
        frame(frames.HEADERS, 4 | frames.HAS_PRIORITY, 1, b"abcd"),
        E.FRAME_SIZE_ERROR,
    ),
    "an index that is not there": (
        HELLO,
        frame(frames.HEADERS, 4, 1, b"\xff\xff\xff\x0f"),
        E.COMPRESSION_ERROR,
    ),
    "a table larger than we allow": (
        HELLO,
        frame(frames.HEADERS, 4, 1, b"\x3f\xe1\xff\x7f"),
        E.COMPRESSION_ERROR,
    ),
}


@pytest.mark.parametrize("what", CONNECTION_FAULTS)
def test_a_breach_of_the_connections_rules_ends_it_by_name(make_peer: Any, what: str) -> None:
    before, data, code = CONNECTION_FAULTS[what]
    peer = make_peer(greets=False)
    peer.say(before or frames.PREFACE)
    assert peer.goaway() is None
    peer.say(data)
    assert peer.goaway()[1] == code
    assert peer.say(frame(frames.PING, 0, 0, bytes(8))) == [], "it is over"


def test_a_connection_that_ends_cancels_its_calls(peer: Any) -> None:
    handler = peer.call()
    peer.say(frame(frames.PING, 0, 0, b"1"))
    assert handler.told == ["cancel"]
    assert not handler.call.is_open
    handler.call.send([b"too late"])
    handler.call.finish()
    assert peer.goaway()[0] == 1
    assert peer.budget.streams == 0


STREAM_FAULTS = {
    "no path": [(":method", "POST"), (":scheme", "http")],
    "a path twice": [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":path", "/")],
    "a pseudo-header late": [(":method", "POST"), (":scheme", "http"), ("a", "b"), (":path", "/")],
    "a status": [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":status", "200")],
    "upper case": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("Te", "trailers")],
    "a connection": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("upgrade", "x")],
    "te": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("te", "gzip")],
    "a line break": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("a", "b\r\nc")],
    "a path of two lines": [(":method", "POST"), (":scheme", "http"), (":path", "/\n")],
    "no name": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("", "b")],
}


@pytest.mark.parametrize("what", STREAM_FAULTS)
def test_a_malformed_request_costs_its_stream_only(peer: Any, what: str) -> None:
    block = peer.block(*STREAM_FAULTS[what])
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 1, block))
    assert peer.resets() == [(1, E.PROTOCOL_ERROR)]
    assert peer.call(3).told == []


def test_breaches_of_one_streams_rules_leave_the_others_alone(peer: Any, data_frame: Any) -> None:
    good = peer.call(1)
    peer.say(peer.headers(3))
    peer.say(data_frame(3, b"", ends=True))
    peer.say(data_frame(3, b"more"))
    peer.say(peer.headers(5))
    peer.say(frames.window_update(5, 0))
    peer.say(peer.headers(7))
    peer.say(frames.window_update(7, (1 << 31) - 1))
    peer.say(peer.headers(9))
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 9, peer.block(("not", "the-end"))))
    peer.say(peer.headers(11))
    peer.world.recorded[-1].call.pause()
    for _ in range(5):
        peer.say(data_frame(11, bytes(1 << 20)))
    assert peer.resets() == [
        (3, E.STREAM_CLOSED),
        (5, E.PROTOCOL_ERROR),
        (7, E.FLOW_CONTROL_ERROR),
        (9, E.PROTOCOL_ERROR),
        (11, E.FLOW_CONTROL_ERROR),
    ]
    assert [handler.told[-1] for handler in peer.world.recorded[1:]] == ["cancel"] * 5
    peer.say(data_frame(1, prefixed([b"still here"])))
    assert good.messages == [b"still here"]


def test_what_is_not_known_is_ignored(peer: Any, data_frame: Any) -> None:
    handler = peer.call()
    peer.say(setting(0xABCD, 1) + frame(0x63, 0xFF, 1, bytes(100_000)))
    peer.say(frame(frames.PRIORITY, 0, 7, bytes(5)) + frame(frames.PRIORITY, 0, 1, bytes(5)))
    peer.say(frame(frames.GOAWAY, 0, 0, bytes(8)))
    peer.say(data_frame(1, prefixed([b"x"])))
    assert handler.messages == [b"x"]
    assert peer.goaway() is None


def test_trailers_end_a_request(peer: Any) -> None:
    handler = peer.call()
    flags = frames.END_HEADERS | frames.END_STREAM
    peer.say(frame(frames.HEADERS, flags, 1, peer.block(("checksum", "1"))))
    assert handler.told == ["end"]


def test_headers_in_continuations_are_put_together(peer: Any) -> None:
    block = peer.headers(1)[frames.FRAME_HEAD_BYTES :]
    pieces = [block[at : at + 7] for at in range(0, len(block), 7)]
    peer.say(frame(frames.HEADERS, 0, 1, pieces[0]))
    for piece in pieces[1:-1]:
        peer.say(frame(frames.CONTINUATION, 0, 1, piece))
    peer.say(frame(frames.CONTINUATION, frames.END_HEADERS, 1, pieces[-1]))
    assert len(peer.world.recorded) == 1


def test_padding_and_priority_of_headers_are_cut_off(peer: Any) -> None:
    block = peer.headers(1)[frames.FRAME_HEAD_BYTES :]
    flags = frames.END_HEADERS | frames.PADDED | frames.HAS_PRIORITY
    peer.say(frame(frames.HEADERS, flags, 1, b"\3" + bytes(5) + block + bytes(3)))
    assert len(peer.world.recorded) == 1


def test_frames_that_cross_a_reset_are_no_fault(peer: Any, data_frame: Any) -> None:
    handler = peer.call()
    handler.call.finish()
    peer.hear()
    assert peer.resets() == [(1, E.NO_ERROR)], "it need not send the rest"
    late = peer.block(("a", "b"))
    peer.say(data_frame(1, b"late"))
    peer.say(frames.window_update(1, 10) + frames.rst_stream(1, E.CANCEL))
    peer.say(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, late))
    assert peer.goaway() is None
    assert peer.call(3).call.is_open, "the table of headers is intact"


def test_streams_over_the_limit_are_refused(make_peer: Any) -> None:
    peer = make_peer(GrpcLimits(streams_max=2))
    for stream_id in (1, 3, 5):
        peer.call(stream_id)
    assert peer.resets() == [(5, E.REFUSED_STREAM)]
    peer.say(frames.rst_stream(1, E.CANCEL))
    peer.call(7)
    assert peer.resets() == [(5, E.REFUSED_STREAM)]


FLOODS = {
    "settings": (GrpcLimits(settings=Rate(5, 1)), lambda peer, i: frames.settings({})),
    "pings": (GrpcLimits(pings=Rate(5, 1)), lambda peer, i: frame(frames.PING, 0, 0, bytes(8))),
    "empty data": (
        GrpcLimits(empty_frames=Rate(5, 1)),
        lambda peer, i: (b"" if i else peer.headers(1)) + frame(frames.DATA, 0, 1),
    ),
    "priorities": (
        GrpcLimits(empty_frames=Rate(5, 1)),
        lambda peer, i: frame(frames.PRIORITY, 0, 1, bytes(5)),
    ),
    "unknown frames": (GrpcLimits(empty_frames=Rate(5, 1)), lambda peer, i: frame(77, 0, 0)),
    "windows": (
        GrpcLimits(empty_frames=Rate(5, 1)),
        lambda peer, i: frames.window_update(0, 1),
    ),
    "rapid resets": (
        GrpcLimits(resets=Rate(5, 1)),
        lambda peer, i: peer.headers(2 * i + 1) + frames.rst_stream(2 * i + 1, E.CANCEL),
    ),
    "resets that we are made to send": (
        GrpcLimits(resets=Rate(5, 1)),
        lambda peer, i: peer.headers(2 * i + 1) + frames.window_update(2 * i + 1, 0),
    ),
    "refused streams": (
        GrpcLimits(resets=Rate(5, 1), streams_max=0),
        lambda peer, i: peer.headers(2 * i + 1),
    ),
    "malformed requests": (
        GrpcLimits(resets=Rate(5, 1)),
        lambda peer, i: frame(frames.HEADERS, 4, 2 * i + 1, peer.block(("a", "b"))),
    ),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_ends_the_connection_and_a_brook_does_not(make_peer: Any, what: str) -> None:
    limits, made = FLOODS[what]
    slow = make_peer(limits)
    for i in range(20):
        slow.now += 1.0
        slow.say(made(slow, i))
    assert slow.goaway() is None
    quick = make_peer(limits)
    for i in range(20):
        quick.say(made(quick, i))
    assert quick.goaway()[1] == E.ENHANCE_YOUR_CALM


def test_answers_that_are_not_taken_end_the_connection(make_peer: Any) -> None:
    peer = make_peer(GrpcLimits(control_bytes_max=1000))
    pings = frame(frames.PING, 0, 0, bytes(8)) * 100
    peer.server.receive(memoryview(pings), 0.0)
    peer.hear()
    assert peer.goaway()[1] == E.ENHANCE_YOUR_CALM


def test_settings_of_many_values_are_applied_once(make_peer: Any) -> None:
    peer = make_peer()
    handler = peer.call()
    values = [struct.pack(">HI", Setting.INITIAL_WINDOW_SIZE, at % 7) for at in range(5000)]
    handler.call.send([b"x" * 100])
    peer.say(frame(frames.SETTINGS, 0, 0, b"".join(values)))
    assert len(peer.content()) == 4999 % 7
    assert handler.call.stream.send_window == 0


def test_a_drain_refuses_streams_only_after_the_client_knows(peer: Any) -> None:
    first = peer.call(1)
    peer.server.drain()
    peer.hear()
    assert peer.goaway()[:2] == ((1 << 31) - 1, E.NO_ERROR)
    assert first.told == ["drain"]
    ping = next(f for f in peer.frames if f.kind == frames.PING)
    crossing = peer.call(3)
    assert crossing.call.is_open
    peer.say(frame(frames.PING, frames.ACK, 0, ping.payload))
    assert peer.goaway()[:2] == (3, E.NO_ERROR)
    peer.say(peer.headers(5))
    assert peer.resets() == [(5, E.REFUSED_STREAM)]
    assert not peer.server.is_drained()
    for handler in (first, crossing):
        handler.call.finish()
    peer.hear()
    assert peer.server.is_drained()
