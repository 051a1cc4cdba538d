"""Frames come out the same wherever reads cut them."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ConnectionFault, ErrorCode
from headrace.doors.http2.stream import Stream
from headrace.doors.http2.walker import FrameWalker

FRAME_BYTES_MAX = 1 << 15
BLOCK_BYTES_MAX = 1 << 10


class Seen:
    """A sink that wants all streams but those that divide by five."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.streams: dict[int, Stream] = {}

    def on_data(self, stream_id: int, size_bytes: int) -> Stream | None:
        self.told.append(("data", stream_id, size_bytes))
        if stream_id % 5 == 0:
            return None
        return self.streams.setdefault(stream_id, Stream(stream_id, 0, 0))

    def on_content(self, stream: Stream, piece: memoryview) -> None:
        stream.received += piece

    def on_data_end(self, stream_id: int) -> None:
        self.told.append(("end", stream_id, bytes(self.content(stream_id))))

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        self.told.append((kind, flags, stream_id, bytes(payload)))

    def on_unknown(self) -> None:
        self.told.append("unknown")

    def content(self, stream_id: int) -> bytes:
        stream = self.streams.get(stream_id)
        return bytes(stream.received) if stream else b""


def walk(data: bytes, cuts: list[int]) -> Seen:
    seen = Seen()
    walker = FrameWalker(seen, FRAME_BYTES_MAX, BLOCK_BYTES_MAX)
    scratch = bytearray(len(data) + 1)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        scratch[: end - start] = data[start:end]
        walker.walk(memoryview(scratch)[: end - start])
        scratch[:] = b"\xff" * len(scratch)  # a read's memory is used again
    return seen


ids = st.integers(1, 12)


@st.composite
def any_frame(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 12))
    flags = draw(st.integers(0, 255)) & ~frames.PADDED
    payload = draw(st.binary(max_size=64))
    if kind == frames.DATA and draw(st.booleans()):
        padding = draw(st.integers(0, 40))
        payload = bytes([padding]) + payload + bytes(padding)
        flags |= frames.PADDED
    return frames.frame(kind, flags, draw(ids), payload)


@given(st.lists(any_frame(), max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_cuts_change_nothing(sent: list[bytes], cuts: list[int]) -> None:
    data = frames.PREFACE + b"".join(sent)
    whole, cut, bytewise = walk(data, []), walk(data, cuts), walk(data, list(range(len(data))))
    assert cut.told == whole.told == bytewise.told
    for stream_id in whole.streams:
        assert whole.content(stream_id) == cut.content(stream_id) == bytewise.content(stream_id)


def test_padding_is_no_content() -> None:
    padded = frames.frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\3abc\0\0\0")
    seen = walk(frames.PREFACE + padded, [])
    assert seen.told == [("data", 1, 7), ("end", 1, b"abc")]


def test_a_frame_of_padding_alone_ends_its_stream() -> None:
    padded = frames.frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\2\0\0")
    for cut in range(len(padded)):
        seen = walk(frames.PREFACE + padded, [len(frames.PREFACE) + cut])
        assert seen.told == [("data", 1, 3), ("end", 1, b"")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames.frame(frames.DATA, frames.PADDED, 1, b"\4abc"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, frames.PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.DATA, 0, 1, bytes(FRAME_BYTES_MAX + 1)), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(99, 0, 1, bytes(FRAME_BYTES_MAX + 1)), ErrorCode.FRAME_SIZE_ERROR),
        (
            frames.frame(frames.SETTINGS, 0, 0, bytes(BLOCK_BYTES_MAX + 1)),
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_they_arrive(data: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as fault:
        walk(frames.PREFACE + data[:11], [])
    assert fault.value.code is code


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nX"]
)
def test_what_is_not_http_2_is_refused_at_its_first_wrong_byte(data: bytes) -> None:
    with pytest.raises(ConnectionFault, match="not an HTTP/2 client"):
        walk(data, list(range(len(data))))
