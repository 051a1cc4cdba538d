"""The automaton of a stream, driven by hand: every order of arrival, durability, faults, time."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.rejected_records import BadRecord
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.zerobus.intake import (
    HEARTBEAT_S,
    Append,
    Finish,
    Intake,
    Open,
    Opened,
    Opening,
    Send,
    SetAside,
    Taken,
)


def messages(*contents: bytes) -> Messages:
    data, ends = bytearray(), []
    for each in contents:
        data += struct.pack(">BI", 0, len(each)) + each
        ends.append(len(data))
    return Messages(memoryview(data), ends)


class Plain:
    """A speech of one record a message; b"!" is a fault, b"?" is to be set aside."""

    def read_opening(self, message):
        if message == b"!":
            raise GrpcError(Status.NOT_FOUND, "no")
        return Opening("t")

    def opened(self, opening, opened):
        return b"opened %d" % opened.committed_offset

    def take(self, messages, first, offset):
        records, counts, bad = [], [], []
        for message in list(messages)[first:]:
            if message == b"!":
                fault = GrpcError(Status.INVALID_ARGUMENT, "bad")
                return Taken(records, counts, len(counts), tuple(bad), fault)
            if message == b"?":
                bad.append(BadRecord(message, offset + len(counts), 0, "odd"))
            else:
                records.append(message)
            counts.append(int(message != b"?"))
        return Taken(records, counts, len(counts), tuple(bad))

    def ack(self, up_to, rows):
        return b"ack %d %d" % (up_to, rows)

    def close_signal(self, up_to, rows, duration_s):
        return b"close %d" % duration_s


@pytest.fixture
def intake():
    intake = Intake(Plain())
    assert intake.messages(messages(b"open"), 0.0) == [Open(Opening("t"))]
    assert intake.opened(Opened("id"), 0.0) == [Send(b"opened -1")]
    return intake


def test_nothing_is_acknowledged_before_it_is_durable(intake):
    assert intake.messages(messages(b"a", b"b"), 0.0) == [Append([b"a", b"b"], [1, 1])]
    assert intake.report(0.0) == []
    intake.durable(1)  # a part of it
    assert intake.report(0.0) == []
    intake.durable(2)
    assert intake.report(0.0) == [Send(b"ack 1 2")]
    assert intake.report(0.0) == []


def test_several_flights_are_one_acknowledgement(intake):
    for _ in range(3):
        intake.messages(messages(b"a"), 0.0)
    intake.durable(1)
    intake.durable(2)
    assert intake.report(0.0) == [Send(b"ack 1 2")]


def test_a_resumed_stream_counts_on():
    intake = Intake(Plain())
    intake.messages(messages(b"open", b"a"), 0.0)
    held = intake.opened(Opened("id", 6), 0.0)
    assert held == [Send(b"opened 6"), Append([b"a"], [1])]
    intake.durable(7)
    assert intake.report(0.0) == []
    intake.durable(8)
    assert intake.report(0.0) == [Send(b"ack 7 1")]


def test_what_is_set_aside_is_waited_for(intake):
    append, aside = intake.messages(messages(b"a", b"?"), 0.0)
    assert append == Append([b"a"], [1, 0])
    assert isinstance(aside, SetAside)
    intake.durable(2)
    assert intake.report(0.0) == []
    intake.set_aside(aside.flight)
    assert intake.report(0.0) == [Send(b"ack 1 2")]


def test_a_fault_is_told_after_what_was_good_before_it(intake):
    assert intake.messages(messages(b"a", b"!", b"b"), 0.0) == [Append([b"a"], [1])]
    assert intake.messages(messages(b"c"), 0.0) == []
    intake.durable(1)
    assert intake.report(0.0) == [
        Send(b"ack 0 1"),
        Finish(Status.INVALID_ARGUMENT, "bad"),
    ]
    assert intake.is_over


def test_the_end_waits_for_the_last_acknowledgement(intake):
    intake.messages(messages(b"a"), 0.0)
    assert intake.end() == []
    intake.durable(1)
    assert intake.report(0.0) == [Send(b"ack 0 1"), Finish(Status.OK)]


def test_an_end_without_anything_under_way_is_ok(intake):
    assert intake.end() == [Finish(Status.OK)]


def test_an_end_while_opening_waits_for_the_answer():
    intake = Intake(Plain())
    intake.messages(messages(b"open"), 0.0)
    assert intake.end() == []
    assert intake.opened(Opened("id"), 0.0) == [Send(b"opened -1"), Finish(Status.OK)]


def test_what_cannot_be_opened_finishes():
    assert Intake(Plain()).messages(messages(b"!"), 0.0) == [Finish(Status.NOT_FOUND, "no")]
    intake = Intake(Plain())
    intake.messages(messages(b"open"), 0.0)
    error = GrpcError(Status.UNAVAILABLE, "later")
    assert intake.failed(error, 0.0) == [Finish(Status.UNAVAILABLE, "later")]
    assert intake.opened(Opened("id"), 0.0) == []


def test_a_failure_tells_first_what_is_durable(intake):
    intake.messages(messages(b"a"), 0.0)
    intake.messages(messages(b"b"), 0.0)
    intake.durable(1)
    error = GrpcError(Status.UNAVAILABLE, "disk")
    assert intake.failed(error, 0.0) == [
        Send(b"ack 0 1"),
        Finish(Status.UNAVAILABLE, "disk"),
    ]


def test_silence_is_broken_while_something_is_under_way(intake):
    assert intake.due() is None
    intake.messages(messages(b"a"), 100.0)
    assert intake.due() == 100.0 + HEARTBEAT_S
    assert intake.tick(100.0 + HEARTBEAT_S - 1) == []
    assert intake.tick(100.0 + HEARTBEAT_S) == [Send(b"ack -1 0")]
    assert intake.due() == 100.0 + 2 * HEARTBEAT_S
    intake.durable(1)
    assert intake.report(115.0) == [Send(b"ack 0 1")]
    assert intake.due() is None


def test_a_stream_that_has_to_go_goes_on_for_its_grace(intake):
    assert intake.close(5.0, 100.0) == [Send(b"close 5")]
    assert intake.close(5.0, 101.0) == []
    assert intake.messages(messages(b"a"), 102.0) == [Append([b"a"], [1])]
    assert intake.due() == 105.0
    assert intake.tick(104.0) == []
    (finish,) = intake.tick(105.0)
    assert isinstance(finish, Finish)
    assert finish.status is Status.UNAVAILABLE


def test_a_stream_that_goes_in_time_ends_well(intake):
    intake.close(5.0, 100.0)
    assert intake.end() == [Finish(Status.OK)]
    assert intake.tick(105.0) == []


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.lists(st.sampled_from([b"a", b"?"]), min_size=1, max_size=5)),
        st.tuples(st.just("durable"), st.integers(0, 10)),
        st.tuples(st.just("aside"), st.integers(0, 3)),
        st.tuples(st.just("report"), st.none()),
        st.tuples(st.just("tick"), st.floats(0.1, 20)),
    ),
    max_size=40,
)


@given(steps, st.booleans())
def test_acknowledgements_rise_and_never_run_ahead(steps, ends_badly):
    intake = Intake(Plain())
    intake.messages(messages(b"open"), 0.0)
    intake.opened(Opened("id"), 0.0)
    now, sent, durable, last = 0.0, 0, 0, -1
    held: dict[int, list[SetAside]] = {}
    done: list[object] = []
    for what, value in steps:
        if what == "send":
            actions = intake.messages(messages(*value), now)
            held.update({sent: [a for a in actions if isinstance(a, SetAside)]})
            sent += len(value)
        elif what == "durable":
            durable = min(durable + value, sent)
            intake.durable(durable)
            actions = []
        elif what == "aside":
            waiting = [key for key, asides in held.items() if asides]
            for key in waiting[value : value + 1]:
                intake.set_aside(held.pop(key)[0].flight)
            actions = []
        elif what == "tick":
            now += value
            actions = intake.tick(now)
        else:
            actions = intake.report(now)
        for action in actions:
            assert not isinstance(action, Finish)
            if isinstance(action, Send):
                up_to = int(action.message.split()[1])
                oldest = min((key for key, asides in held.items() if asides), default=sent)
                assert last <= up_to < max(min(durable, oldest), last + 1)
                last = up_to
    if ends_badly:
        intake.messages(messages(b"!"), now)
    else:
        intake.end()
    for asides in held.values():
        for aside in asides:
            intake.set_aside(aside.flight)
    intake.durable(sent)
    done = intake.report(now)
    if not intake.is_over:
        raise AssertionError(done)
    assert last <= sent - 1
