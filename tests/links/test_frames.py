"""Frames are found however the stream is cut, and nothing is believed of what they announce."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.links.frames import (
    BODY_BYTES_MAX,
    BUFFER_BYTES,
    FrameReader,
    frame_parts,
    hello_body,
    read_hello,
    read_refusal,
    refusal_body,
)
from headrace.wire.errors import ErrorCode, MalformedError, RequestError


def read_all(data: bytes, cuts: list[int]) -> list[tuple[int, int, bytes]]:
    reader = FrameReader()
    found = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        piece = data[start:end]
        while piece:
            space = reader.space()
            size = min(len(space), len(piece))
            space[:size] = piece[:size]
            piece = piece[size:]
            reader.received(size)
            while (frame := reader.next_frame()) is not None:
                found.append((frame.kind, frame.id, bytes(frame.body)))
            reader.settle()
    return found


FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=6
)


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=6))
def test_frames_are_found_however_they_are_cut(
    frames: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(b"".join(frame_parts(kind, id_, [body])) for kind, id_, body in frames)
    assert read_all(data, cuts) == frames


@pytest.mark.parametrize("size", [BUFFER_BYTES - 9, BUFFER_BYTES, 3 * BUFFER_BYTES + 1])
def test_frames_larger_than_the_buffer_are_found(size: int) -> None:
    large, small = (7, 1, bytes(size)), (8, 2, b"x")
    data = b"".join(b"".join(frame_parts(*frame[:2], [frame[2]])) for frame in (large, small))
    assert read_all(data, [5, 100, BUFFER_BYTES + 1]) == [large, small]


def test_the_buffer_does_not_grow_by_what_a_frame_announces() -> None:
    reader = FrameReader()
    head = struct.pack(">IBI", BODY_BYTES_MAX, 4, 1)
    reader.space()[: len(head)] = head
    reader.received(len(head))
    assert reader.next_frame() is None
    reader.settle()
    assert len(reader.space()) <= BUFFER_BYTES


@pytest.mark.parametrize("size", [0, 4, BODY_BYTES_MAX + 6, 2**32 - 1])
def test_impossible_sizes_are_malformed(size: int) -> None:
    reader = FrameReader()
    head = struct.pack(">IBI", size, 4, 1)
    reader.space()[: len(head)] = head
    reader.received(len(head))
    with pytest.raises(MalformedError):
        reader.next_frame()


def test_another_version_is_not_spoken_with() -> None:
    assert read_hello(memoryview(hello_body(3))) == 3
    for body in (b"", b"\x00\x02\x00\x03", hello_body(3) + b"x"):
        with pytest.raises(MalformedError):
            read_hello(memoryview(body))


def test_refusals_are_told_as_they_were() -> None:
    error = read_refusal(memoryview(refusal_body(RequestError(ErrorCode.NOT_COORDINATOR, "why?"))))
    assert (error.code, error.message) == (ErrorCode.NOT_COORDINATOR, "why?")
    for body in (b"", b"\x00", b"\x7f\xff"):
        with pytest.raises(MalformedError):
            read_refusal(memoryview(body))
