"""gRPC's rules, in memory: what a handler is told, what a client gets."""

import struct
from typing import Any

import pytest

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ErrorCode
from headrace.doors.http2.limits import GrpcLimits
from headrace.doors.http2.messages import prefixed
from headrace.doors.http2.status import GrpcError, Status


def test_response_headers_leave_before_the_client_has_said_anything(peer: Any) -> None:
    peer.call()
    assert peer.answers(1) == [
        {
            ":status": "200",
            "content-type": "application/grpc",
            "grpc-accept-encoding": "identity",
        }
    ]


def test_messages_of_a_read_come_as_one_batch_whatever_their_frames(
    peer: Any, data_frame: Any
) -> None:
    handler = peer.call()
    sent = [bytes([at]) * at for at in range(100)]
    content = prefixed(sent)
    peer.say(b"".join(data_frame(1, content[at : at + 70]) for at in range(0, len(content), 70)))
    assert handler.messages == sent
    assert handler.told == ["messages"]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_messages_are_the_same_wherever_reads_cut_them(
    peer: Any, data_frame: Any, piece: int
) -> None:
    handler = peer.call()
    sent = [b"", b"a", b"bc" * 40, b""]
    peer.say(
        data_frame(1, prefixed(sent[:2])) + data_frame(1, prefixed(sent[2:]), ends=True),
        piece=piece,
    )
    assert handler.messages == sent
    assert handler.told[-1] == "end"
    assert handler.told.count("end") == 1


def test_views_may_be_kept(peer: Any, data_frame: Any) -> None:
    handler = peer.call()
    kept: list[memoryview] = []
    handler.on_messages = kept.extend  # type: ignore[method-assign]
    for at in range(5):
        peer.say(data_frame(1, prefixed([bytes([at]) * 10, b"x"]) + b"\0\0"[: at % 2]), piece=3)
        if at % 2:
            peer.say(data_frame(1, prefixed([b"y"])[1:]))
    assert [bytes(view)[:1] for view in kept if len(view) == 10] == [bytes([at]) for at in range(5)]


def test_an_answer_has_messages_and_trailers(peer: Any) -> None:
    handler = peer.call()
    handler.call.send([b"a", b"bc"])
    handler.call.finish(Status.ABORTED, "100% späť\n", [("x-more", "1")])
    peer.hear()
    assert peer.content() == prefixed([b"a", b"bc"])
    assert peer.answers(1)[1] == {
        "grpc-status": "10",
        "grpc-message": "100%25 sp%C3%A4%C5%A5%0A",
        "x-more": "1",
    }


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/t.T/Nowhere", (), "12"),
        ("/", (), "12"),
        ("/t.T/Record", (("grpc-encoding", "gzip"),), "12"),
        ("/t.T/Record", (("grpc-timeout", "soon"),), "13"),
        ("/t.T/RefuseAtOnce", (), "7"),
    ],
)
def test_what_cannot_be_called_gets_trailers_only(
    peer: Any, path: str, more: Any, status: str
) -> None:
    peer.say(peer.headers(1, path, *more))
    (answer,) = peer.answers(1)
    assert (answer[":status"], answer["grpc-status"]) == ("200", status)
    assert answer["grpc-accept-encoding"] == "identity"
    (headers,) = [f for f in peer.frames if f.kind == frames.HEADERS]
    assert headers.flags & frames.END_STREAM
    assert peer.budget.streams == 0


@pytest.mark.parametrize(
    ("method", "kind", "status"),
    [
        ("GET", "application/grpc", "405"),
        ("POST", "application/json", "415"),
        ("POST", "application/grpcx", "415"),
        ("POST", "", "415"),
    ],
)
def test_what_is_no_call_gets_an_answer_of_http(
    peer: Any, method: str, kind: str, status: str
) -> None:
    block = peer.block(
        (":method", method), (":scheme", "http"), (":path", "/t.T/Record"), ("content-type", kind)
    )
    peer.say(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block))
    assert peer.answers(1)[0][":status"] == status
    assert peer.budget.streams == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"\1" + prefixed([b"x"])[1:], "13"),
        (b"\0\0\0\0\5abc", "13"),
        (b"\0\0", "13"),
        (struct.pack(">BI", 0, 10 * 1024 * 1024 + 1), "8"),
    ],
)
def test_content_that_cannot_be_read_ends_its_call_after_what_came_before(
    peer: Any, data_frame: Any, content: bytes, status: str
) -> None:
    handler = peer.call()
    peer.say(data_frame(1, prefixed([b"good"]) + content, ends=True))
    assert handler.messages == [b"good"]
    assert handler.told[-1] == "cancel"
    assert peer.status()[0] == status
    assert peer.call(3).call.is_open


def test_an_error_of_a_handler_is_its_calls_end(peer: Any, data_frame: Any, caplog: Any) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def refuse() -> None:
        raise GrpcError(Status.OUT_OF_RANGE, "no")

    peer.call(1).on["messages"] = fail
    peer.call(3).on["messages"] = refuse
    for stream_id in (1, 3):
        peer.say(data_frame(stream_id, prefixed([b"x"])))
    assert peer.status(1) == ("13", "internal error")
    assert peer.status(3) == ("11", "no")
    assert [r.exc_info[0] for r in caplog.records] == [ZeroDivisionError]


def test_a_reset_is_a_cancel(peer: Any) -> None:
    handler = peer.call()
    peer.say(frames.rst_stream(1, ErrorCode.CANCEL))
    assert handler.told == ["cancel"]
    assert not handler.call.is_open
    assert peer.budget.streams == 0


def test_a_reset_takes_what_came_with_it(peer: Any, data_frame: Any) -> None:
    handler = peer.call()
    peer.say(data_frame(1, prefixed([b"x"])) + frames.rst_stream(1, ErrorCode.CANCEL))
    assert handler.told == ["cancel"]


def test_a_deadline_ends_a_call_and_no_other(peer: Any) -> None:
    peer.now = 100.0
    late = peer.call(1, "/t.T/Record", ("grpc-timeout", "2S"))
    later = peer.call(3, "/t.T/Record", ("grpc-timeout", "5S"))
    free = peer.call(5)
    peer.server.tick(101.9)
    assert late.told == []
    peer.server.tick(102.0)
    peer.hear()
    assert late.told == ["cancel"]
    assert peer.status(1)[0] == "4"
    assert later.told == free.told == []
    assert peer.server.next_deadline == 105.0
    peer.server.tick(105.0)
    assert later.told == ["cancel"]
    assert peer.server.next_deadline is None


def test_metadata_is_there(peer: Any) -> None:
    more = [("authorization", "Bearer x"), ("id-bin", "AAECAw"), ("a", "1"), ("a", "2")]
    call = peer.call(1, "/t.T/Record", *more, ("bad-bin", "!")).call
    assert call.metadata("authorization") == "Bearer x"
    assert call.metadata_bytes("id-bin") == b"\0\1\2\3"
    assert call.metadata("a") == "1,2"
    assert call.metadata("b") is call.metadata_bytes("b-bin") is None
    with pytest.raises(ValueError, match="bad-bin is not base64"):
        call.metadata_bytes("bad-bin")
    assert (call.path, call.peer) == ("/t.T/Record", "peer:1")


def test_a_call_that_goes_on_though_nothing_is_taken_is_ended(make_peer: Any) -> None:
    peer = make_peer(GrpcLimits(unsent_bytes_max=200_000, unsent_bytes_room=100_000))
    handler = peer.call()
    for _ in range(3):
        handler.call.send([bytes(50_000)])
    assert not handler.call.has_room
    peer.hear()
    assert handler.told == ["room"], "65,535 bytes have left"
    assert handler.call.has_room
    for _ in range(3):
        handler.call.send([bytes(50_000)])
    assert handler.told == ["room", "cancel"]
    peer.hear()
    assert peer.resets() == [(1, ErrorCode.ENHANCE_YOUR_CALM)]
    assert peer.budget.unsent_bytes == 0


def test_answers_of_all_calls_together_are_bounded(make_peer: Any) -> None:
    peer = make_peer(GrpcLimits(unsent_total_bytes_max=100_000))
    handlers = [peer.call(stream_id) for stream_id in (1, 3, 5)]
    for handler in handlers:
        handler.call.send([bytes(40_000)])
    assert [handler.told for handler in handlers] == [[], [], ["cancel"]]
    peer.server.lost()
    assert peer.budget.unsent_bytes == 0
