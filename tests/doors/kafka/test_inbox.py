"""Frames come out whole and in order however the bytes arrive, and memory goes back."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.kafka import inbox as room
from headrace.doors.kafka.inbox import BufferPool, BuffersExhausted, Inbox
from headrace.wire.errors import MalformedError


def framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def receive(inbox: Inbox, data: bytes, take_all: bool = True) -> list[bytes]:
    """Feed `data` as a socket would and return the frames that came out."""
    frames = []
    while data:
        space = inbox.space()
        size = min(len(space), len(data))
        space[:size] = data[:size]
        inbox.received(size)
        data = data[size:]
        while take_all and (frame := inbox.next_frame()) is not None:
            frames.append(bytes(frame))
        inbox.settle()
    return frames


@given(
    bodies=st.lists(st.binary(min_size=8, max_size=300), max_size=30),
    cuts=st.lists(st.integers(1, 400), max_size=40),
)
def test_frames_survive_any_cutting_of_the_stream(bodies: list[bytes], cuts: list[int]) -> None:
    pool = BufferPool(1 << 24)
    inbox = Inbox(pool, 1 << 20)
    stream = b"".join(map(framed, bodies))
    frames = []
    for cut in cuts:
        frames += receive(inbox, stream[:cut])
        stream = stream[cut:]
    frames += receive(inbox, stream)
    assert frames == bodies
    inbox.rest()
    assert pool.bytes_in_use == 0


@pytest.mark.parametrize("size", [70_000, 1 << 20, (1 << 20) - 4, 5 << 20, 9 << 20])
def test_large_frames_arrive_whole(size: int) -> None:
    pool = BufferPool(1 << 26)
    inbox = Inbox(pool, 100 << 20)
    body = bytes(range(256)) * (size // 256 + 1)
    assert receive(inbox, framed(body[:size]) + framed(b"following")) == [
        body[:size],
        b"following",
    ]


def test_an_idle_connection_owns_no_buffer() -> None:
    pool = BufferPool(1 << 24)
    inbox = Inbox(pool, 1 << 20)
    receive(inbox, framed(b"x" * 100) * 50)
    assert pool.bytes_in_use == 0


@pytest.mark.parametrize("size", [-1, 0, 7, (1 << 20) + 1, 2**31 - 1, -(2**31)])
def test_impossible_lengths_are_refused_by_name(size: int) -> None:
    inbox = Inbox(BufferPool(1 << 24), 1 << 20)
    with pytest.raises(MalformedError, match=str(size)):
        receive(inbox, struct.pack(">i", size) + b"12345678")


def test_an_announced_size_allocates_nothing_by_itself() -> None:
    pool = BufferPool(1 << 30)
    inbox = Inbox(pool, 100 << 20)
    receive(inbox, struct.pack(">i", 90 << 20) + b"only a little")
    assert pool.bytes_in_use <= room.OWN_BYTES_EAGER_MAX


def test_all_connections_together_stay_within_the_budget() -> None:
    pool = BufferPool(3 * room.OWN_BYTES_MIN)
    inboxes = [Inbox(pool, 1 << 20) for _ in range(4)]
    for inbox in inboxes[:3]:
        receive(inbox, struct.pack(">i", 1000) + b"part")
    with pytest.raises(BuffersExhausted):
        receive(inboxes[3], struct.pack(">i", 1000) + b"part")
    inboxes[0].close()
    receive(inboxes[3], struct.pack(">i", 1000) + b"part")


def test_announcing_large_requests_does_not_use_up_the_budget() -> None:
    """Hundreds of connections that say "4 MB follow" and send a little of it."""
    pool = BufferPool(64 << 20)
    liars = [Inbox(pool, 100 << 20) for _ in range(300)]
    for liar in liars:
        receive(liar, (4_000_000).to_bytes(4, "big") + b"x" * 10)
    honest = Inbox(pool, 100 << 20)
    body = bytes(3_000_000)
    frames = []
    data = framed(body)
    for start in range(0, len(data), 60_000):
        frames += receive(honest, data[start : start + 60_000])
    assert frames == [body]
    for inbox in (*liars, honest):
        inbox.close()
    assert pool.bytes_in_use == 0


def test_unhandled_requests_fill_the_buffer_and_no_more() -> None:
    pool = BufferPool(1 << 24)
    inbox = Inbox(pool, 1 << 20)
    data = framed(b"y" * 1000) * 6000
    while data and len(space := inbox.space()):
        size = min(len(space), len(data))
        space[:size] = data[:size]
        inbox.received(size)
        inbox.settle()
        data = data[size:]
    assert not inbox.space()
    assert pool.bytes_in_use <= room.OWN_BYTES_EAGER_MAX
    assert bytes(inbox.next_frame() or b"") == b"y" * 1000
