"""Batches with fewer records: what stays keeps its bytes, its offset and its time."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire.batch import ATTRIBUTE_CONTROL, ATTRIBUTE_TRANSACTIONAL, crc_matches, peek
from headrace.wire.errors import MalformedError
from headrace.wire.filtering import (
    HOLE_OFFSETS_MAX,
    delete_horizon_ms,
    emptied,
    hole,
    keyless_records,
    record_keys,
    with_records,
)
from headrace.wire.records import Record, build_batch, open_records, read_records

OPENED = 1 << 20

payloads = st.one_of(st.none(), st.binary(max_size=200))
records_of = st.lists(
    st.builds(
        Record,
        timestamp_ms=st.integers(-1, 1 << 42),
        key=payloads,
        value=payloads,
        headers=st.lists(st.tuples(st.text(max_size=3), payloads), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=80,
)
horizons = st.one_of(st.none(), st.integers(0, 1 << 42))


@given(records_of, st.integers(0, 4), st.integers(0, 1 << 60), horizons, st.data())
def test_the_records_that_stay_are_as_they_were(records, codec, base, horizon, data):
    batch = build_batch(
        records,
        base_offset=base,
        codec=codec,
        producer_id=5,
        producer_epoch=1,
        base_sequence=7,
        leader_epoch=3,
    )
    header, block = open_records(batch, OPENED)
    keys = record_keys(header, block)
    assert keys == [(one.key, at, one.value is not None) for at, one in enumerate(records)]
    places = data.draw(st.sets(st.integers(0, len(records) - 1), min_size=1))
    kept = bytearray(at in places for at in range(len(records)))
    built = with_records(header, block, kept, horizon)
    after = peek(built)
    assert crc_matches(built, after)
    expected = [one for at, one in enumerate(read_records(batch)) if at in places]
    assert list(read_records(built)) == expected
    assert after.max_timestamp == max(one.timestamp_ms for one in expected)
    assert delete_horizon_ms(after) == horizon
    same = (
        "base_offset",
        "last_offset_delta",
        "producer_id",
        "producer_epoch",
        "base_sequence",
        "leader_epoch",
    )
    assert [getattr(after, name) for name in same] == [getattr(header, name) for name in same]
    again = with_records(
        after, open_records(built, OPENED)[1], bytearray(b"\1" * len(expected)), horizon
    )
    assert list(read_records(again)) == expected


def test_records_with_the_time_of_their_append_keep_it():
    batch = build_batch(
        [Record(timestamp_ms=1, key=b"a"), Record(timestamp_ms=2, key=b"b")], append_time_ms=99
    )
    header, block = open_records(batch, OPENED)
    built = with_records(header, block, bytearray(b"\0\1"), 12345)
    assert [(one.key, one.timestamp_ms) for one in read_records(built)] == [(b"b", 99)]


def test_an_empty_batch_keeps_what_is_known_of_its_producer():
    batch = build_batch(
        [Record(key=b"a")] * 3,
        base_offset=10,
        codec=2,
        producer_id=5,
        producer_epoch=1,
        base_sequence=7,
        transactional=True,
    )
    built = emptied(peek(batch))
    header = peek(built)
    assert crc_matches(built, header)
    assert (header.base_offset, header.next_offset, header.records_count) == (10, 13, 0)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (5, 1, 7)
    assert header.attributes & ATTRIBUTE_TRANSACTIONAL
    assert not header.attributes & ATTRIBUTE_CONTROL
    assert list(read_records(built)) == []


@pytest.mark.parametrize("count", [1, 2, HOLE_OFFSETS_MAX, HOLE_OFFSETS_MAX + 1, 1 << 33])
def test_a_hole_stands_for_all_its_offsets(count):
    data, offset = hole(7, 7 + count, 0), 7
    while data:
        header = peek(data)
        assert header.base_offset == offset
        assert list(read_records(data[: header.size_bytes])) == []
        data, offset = data[header.size_bytes :], header.next_offset
    assert offset == 7 + count


def test_keyless_records_are_counted_up_to_a_bound():
    batch = build_batch([Record(key=b"" if at % 2 else None) for at in range(10)], codec=4)
    assert keyless_records(batch, decompressed_bytes_max=OPENED, count_max=3) == [0, 2, 4]


@given(records_of, st.data())
def test_damaged_records_are_malformed_or_as_good_as_others(records, data):
    header, block = open_records(build_batch(records), OPENED)
    at = data.draw(st.integers(0, len(block) - 1))
    damaged = block[:at] + bytes([data.draw(st.integers(0, 255))]) + block[at + 1 :]
    for broken in (damaged, block[:at]):
        with contextlib.suppress(MalformedError):
            keys = record_keys(header, broken)
            deltas = [delta for _, delta, _ in keys]
            assert deltas == sorted(set(deltas))
            with_records(header, broken, bytearray(b"\1" * len(keys)), 5)


@pytest.mark.parametrize("base", [-(1 << 63), (1 << 63) - 1])
@pytest.mark.parametrize("horizon", [None, 0, 1 << 62])
def test_a_time_that_is_none_is_malformed(base, horizon):
    header, block = open_records(build_batch([Record(timestamp_ms=0), Record(timestamp_ms=9)]), 99)
    with contextlib.suppress(MalformedError):
        with_records(header._replace(base_timestamp=base), block, bytearray(b"\1\1"), horizon)
