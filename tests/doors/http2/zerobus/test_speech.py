"""What is taken of a read's messages, whatever they are; checks of records on the way."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.http2.messages import Messages
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.zerobus.arrow import ArrowSpeech
from headrace.doors.http2.zerobus.checks import check_for
from headrace.doors.http2.zerobus.intake import Append, Finish, Intake, Opened, Send
from headrace.doors.http2.zerobus.speech import ZerobusSpeech
from headrace.wire.zerobus import EPHEMERAL, RecordType
from tests.doors.http2.zerobus.client import JSON, batch, create, record


def messages(*contents: bytes) -> Messages:
    data, ends = bytearray(), []
    for each in contents:
        data += struct.pack(">BI", 0, len(each)) + each
        ends.append(len(data))
    return Messages(memoryview(data), ends)


@pytest.fixture
def speech():
    speech = ZerobusSpeech(EPHEMERAL)
    speech.read_opening(memoryview(create("t", JSON)))
    return speech


def test_singles_and_batches_are_one_append(speech):
    taken = speech.take(
        messages(*(record(n, b"%d" % n) for n in range(300)), batch(300, [b"a", b"b"])), 0, 0
    )
    assert taken.counts == [1] * 300 + [2]
    assert taken.records == [*(b"%d" % n for n in range(300)), b"a", b"b"]
    assert taken.fault is None


@pytest.mark.parametrize("place", range(4))
def test_without_a_place_for_it_a_bad_record_is_a_fault_behind_the_good_ones(speech, place):
    speech.check = check_for(RecordType.JSON, b"")
    contents = [b"1", b"2", b"3", b"4"]
    contents[place] = b"{"
    singles = [record(n, content) for n, content in enumerate(contents)]
    taken = speech.take(messages(*singles), 0, 0)
    assert taken.records == contents[:place]
    assert taken.counts == [1] * place
    assert taken.fault is not None
    assert taken.fault.status is Status.INVALID_ARGUMENT
    assert f"offset {place}, record 0: not JSON" in taken.fault.message
    whole = speech.take(messages(record(0, b"0"), batch(1, contents), record(2, b"0")), 0, 0)
    assert (whole.records, whole.counts) == ([b"0"], [1])
    assert whole.fault is not None
    assert f"offset 1, record {place}: not JSON" in whole.fault.message


def test_with_a_place_for_it_a_bad_record_is_set_aside(speech):
    speech.check = check_for(RecordType.JSON, b"")
    speech.rejects = True
    taken = speech.take(messages(record(5, b"{"), batch(6, [b"1", b"?"]), record(7, b"2")), 0, 5)
    assert (taken.records, taken.counts, taken.fault) == ([b"1", b"2"], [0, 1, 1], None)
    assert [(bad.value, bad.offset, bad.place) for bad in taken.rejected] == [
        (b"{", 5, 0),
        (b"?", 6, 1),
    ]


@pytest.mark.parametrize("bad", [b"", b"\xff", b"NaN", b"[1,]", b'{"a":1} x', b"[" * 100_000])
def test_what_is_not_json(bad):
    check = check_for(RecordType.JSON, b"")
    assert check is not None
    assert check(memoryview(bad)) is not None


@given(
    st.recursive(
        st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    )
)
def test_what_is_json(value):
    check = check_for(RecordType.JSON, b"")
    assert check is not None
    assert check(memoryview(json.dumps(value, ensure_ascii=False).encode())) is None


def test_a_descriptor_that_is_none_is_refused():
    with pytest.raises(GrpcError):
        check_for(RecordType.PROTO, b"\xff")
    assert check_for(RecordType.AVRO, b"") is None


pieces = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.integers(0, 5), st.binary(max_size=20)).map(lambda given: record(*given)),
    st.tuples(st.integers(0, 5), st.lists(st.binary(max_size=9), max_size=4)).map(
        lambda given: batch(*given)
    ),
)


@given(st.lists(st.lists(pieces, min_size=1, max_size=6), max_size=6), st.booleans())
def test_whatever_comes_is_taken_in_turn_or_ends_the_stream_with_a_status(reads, is_arrow):
    intake = Intake(ArrowSpeech() if is_arrow else ZerobusSpeech(EPHEMERAL))
    intake.messages(messages(create("t", JSON)), 0.0)
    intake.opened(Opened("id"), 0.0)
    taken = 0
    for read in reads:
        for action in intake.messages(messages(*read), 0.0):
            if isinstance(action, Append):
                taken += len(action.counts)
                assert sum(action.counts) == len(action.records)
            else:
                assert isinstance(action, Finish)
                assert action.status is Status.INVALID_ARGUMENT
    intake.durable(taken)
    acks = [action for action in intake.report(0.0) if isinstance(action, Send)]
    assert len(acks) == (taken > 0)
