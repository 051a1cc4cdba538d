"""Header blocks that are too large, or made to be (RFC 9113 section 10.5.1, RFC 7541
section 7.3)."""

from typing import Any

import pytest

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ErrorCode, frame
from headrace.doors.http2.limits import GrpcLimits


def test_a_call_with_too_many_headers_is_refused_and_the_connection_lives(peer: Any) -> None:
    many = [(f"name-{at}", "x" * 1000) for at in range(20)]
    peer.say(peer.headers(1, "/t.T/Record", *many))
    assert peer.status(1)[0] == "8"
    assert "16384 bytes" in peer.status(1)[1]
    assert peer.call(3).call.is_open


def test_a_bomb_of_references_is_not_unpacked(peer: Any) -> None:
    """4 KB once in the table, then a thousand times one byte that stands for them."""
    fill = peer.block(("a", "x" * 3900))
    peer.say(frame(frames.HEADERS, 0, 1, fill + b"\xbe" * 1000))
    peer.say(frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"\xbe" * 1000))
    assert peer.goaway()[1] == ErrorCode.ENHANCE_YOUR_CALM
    assert "32768 bytes" in peer.goaway()[2]


@pytest.mark.parametrize("piece", [b"", b"x" * 20_000])
def test_a_block_without_end_ends_the_connection(peer: Any, piece: bytes) -> None:
    peer.say(frame(frames.HEADERS, 0, 1))
    for _ in range(peer.limits.continuations_max + 1):
        if peer.goaway() is None:
            peer.say(frame(frames.CONTINUATION, 0, 1, piece))
    assert peer.goaway()[1] == ErrorCode.ENHANCE_YOUR_CALM


def test_a_client_with_a_small_table_reads_our_headers(make_peer: Any) -> None:
    peer = make_peer(GrpcLimits())
    peer.say(frames.settings({frames.Setting.HEADER_TABLE_SIZE: 0}))
    for stream_id in (1, 3, 5):
        peer.call(stream_id, "/t.T/Nowhere")
        assert peer.status(stream_id) == ("12", "there is no method /t.T/Nowhere")
