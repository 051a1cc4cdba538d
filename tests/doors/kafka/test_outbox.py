"""Answers leave in the order of their requests, whole, and let go of what they hold."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.doors.kafka import outbox as room
from headrace.doors.kafka.outbox import Outbox, Part
from headrace.log.contract import Slice


class Wire:
    """An outbox with a real socket behind it, and the other end of that."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.ours = ours
        self.outbox = Outbox(ours)

    def answer(self, *parts: Part) -> None:
        self.outbox.reserve().parts = list(parts)

    def taken(self, size: int = 1 << 20) -> bytes:
        try:
            return self.theirs.recv(size)
        except BlockingIOError:
            return b""

    def drain(self) -> bytes:
        """Flush and read until all has left."""
        out = b""
        while not self.outbox.flush():
            out += self.taken()
        while more := self.taken():
            out += more
        return out


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.ours.close()
    made.theirs.close()


class Stored:
    """A file of 4 MB and slices of it, counted."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(range(251)) * 16_000)
        self.data = path.read_bytes()
        self.file = path.open("rb")
        self.held = 0

    def slice(self, position: int, size: int) -> Slice:
        self.held += 1
        return Slice(self.file.fileno(), position, size, False, self._release)

    def _release(self) -> None:
        self.held -= 1


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    made = Stored(tmp_path / "segment")
    yield made
    made.file.close()


def test_answers_leave_in_the_order_asked_however_they_are_found(wire: Wire) -> None:
    slots = [wire.outbox.reserve() for _ in range(4)]
    for place in (2, 0, 3):
        slots[place].parts = [b"answer %d." % place]
        assert wire.outbox.flush()
    assert wire.taken() == b"answer 0."
    slots[1].parts = [b"answer 1."]
    assert wire.drain() == b"answer 1.answer 2.answer 3."
    assert wire.outbox.is_empty()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(
        st.lists(st.one_of(st.binary(max_size=5000), st.integers(1, 300_000)), max_size=6),
        max_size=80,
    )
)
def test_bytes_and_slices_of_files_mix_freely(
    wire: Wire, stored: Stored, answers: list[list[bytes | int]]
) -> None:
    expected = bytearray()
    for answer in answers:
        parts: list[Part] = []
        for part in answer:
            if isinstance(part, bytes):
                parts.append(part)
                expected += part
            else:
                parts.append(stored.slice(part, part))
                expected += stored.data[part : 2 * part]
        wire.answer(*parts)
    assert wire.drain() == bytes(expected)
    assert stored.held == 0
    assert wire.outbox.is_empty()
    assert wire.outbox.has_room()


def test_more_pieces_than_one_call_takes_all_arrive(wire: Wire) -> None:
    pieces = [b"%06d" % number for number in range(3 * room.PIECES_PER_SEND_MAX)]
    for piece in pieces:
        wire.answer(piece)
    assert wire.drain() == b"".join(pieces)


def flood_with_requests(wire: Wire, make: Callable[[], Part], tries: int = 100_000) -> int:
    """Answer as long as there is room, to a peer that reads nothing."""
    for count in range(tries):
        if not wire.outbox.has_room():
            return count
        wire.answer(make())
        wire.outbox.flush()
    raise AssertionError(f"room for {tries} answers that nobody reads")


def test_a_peer_that_reads_nothing_is_owed_a_bounded_number_of_bytes(wire: Wire) -> None:
    flood_with_requests(wire, lambda: bytes(1000))
    flood_with_requests(wire, lambda: bytes(1 << 20))
    wire.drain()
    assert wire.outbox.has_room()


def test_records_in_files_are_bounded_by_their_number(wire: Wire, stored: Stored) -> None:
    flood_with_requests(wire, lambda: stored.slice(0, 3000))
    assert stored.held <= room.WAITING_PARTS_MAX
    wire.drain()
    assert stored.held == 0


def test_requests_that_are_not_answered_yet_are_bounded(wire: Wire) -> None:
    while wire.outbox.has_room():
        wire.outbox.reserve()
        assert wire.outbox.flush()


def test_closing_lets_go_of_every_file(wire: Wire, stored: Stored) -> None:
    wire.outbox.reserve()  # never answered
    for _ in range(3):
        wire.answer(b"head", stored.slice(0, 3_000_000), stored.slice(0, 1000))
    wire.outbox.flush()
    wire.outbox.close()
    assert stored.held == 0
    assert wire.outbox.is_empty()


def test_closing_in_the_middle_of_a_slice_lets_go_of_it(wire: Wire, stored: Stored) -> None:
    wire.answer(stored.slice(0, 4_000_000))
    assert not wire.outbox.flush()
    assert wire.taken(100) == stored.data[:100]
    wire.outbox.close()
    assert stored.held == 0


def test_a_segment_that_ends_early_is_an_error_not_a_loop(wire: Wire, stored: Stored) -> None:
    wire.answer(stored.slice(len(stored.data) - 10, 20))
    with pytest.raises(OSError, match="ends 10 bytes before"):
        wire.outbox.flush()
    wire.outbox.close()
    assert stored.held == 0


class Counted(socket.socket):
    """Writes down the size and flags of each send."""

    def note(self) -> "Counted":
        self.sends: list[tuple[int, int]] = []
        return self

    def send(self, data: Any, flags: int = 0) -> int:
        self.sends.append((len(data), flags))
        return super().send(data, flags)

    def sendmsg(self, pieces: Any, ancillary: Any = (), flags: int = 0) -> int:  # type: ignore[override]
        self.sends.append((sum(map(len, pieces)), flags))
        return super().sendmsg(pieces, ancillary, flags)


def test_a_small_answer_with_records_leaves_in_one_send(wire: Wire, stored: Stored) -> None:
    with Counted(fileno=wire.ours.detach()).note() as counted:
        counted.setblocking(False)
        wire.outbox = Outbox(counted)
        wire.answer(b"head", stored.slice(100, 1000), b"middle", stored.slice(0, 500), b"")
        assert wire.drain() == b"head" + stored.data[100:1100] + b"middle" + stored.data[:500]
        assert counted.sends == [(4 + 1000 + 6 + 500, 0)]
    assert stored.held == 0


def test_the_head_of_a_large_answer_is_not_sent_before_its_records(
    wire: Wire, stored: Stored
) -> None:
    with Counted(fileno=wire.ours.detach()).note() as counted:
        counted.setblocking(False)
        wire.outbox = Outbox(counted)
        wire.answer(b"head", stored.slice(0, room.GATHERED_BYTES_MAX + 1), b"")
        assert len(wire.drain()) == 4 + room.GATHERED_BYTES_MAX + 1
        assert counted.sends == [(4, getattr(socket, "MSG_MORE", 0))]


def test_small_records_are_read_only_as_far_as_they_are_sent_together(
    wire: Wire, stored: Stored
) -> None:
    while wire.outbox.flush():
        wire.answer(bytes(10_000))
    slices = room.GATHERED_BYTES_MAX // 1000 * 2
    wire.answer(*(stored.slice(0, 1000) for _ in range(slices)))
    for _ in range(3):
        assert not wire.outbox.flush()
    assert stored.held >= slices / 2
    wire.drain()
    assert stored.held == 0
