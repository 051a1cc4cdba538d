"""Batches that are packed fast are the batches that were meant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.wire.batch import check_from_producer
from headrace.wire.packing import RECORD_OVERHEAD_BYTES_MAX, pack_records, pack_values
from headrace.wire.records import Record, build_batch, read_records, record_bytes_max

TEXT = st.text(max_size=8)
RECORDS = st.lists(
    st.builds(
        Record,
        st.just(-1),
        st.integers(0, 1 << 40),
        st.none() | st.binary(max_size=70),
        st.none() | st.binary(max_size=200),
        st.lists(st.tuples(TEXT, st.none() | st.binary(max_size=70)), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=20,
)


def packed(values: list[bytes], last: Record | None = None) -> bytearray:
    batch = pack_values(values, [*map(len, values)], 1000, (5, 0, 7), last)
    check_from_producer(memoryview(batch))
    return batch


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=150))
def test_values_are_packed_as_records_are_built(values: list[bytes]) -> None:
    records = [Record(-1, 1000, None, value) for value in values]
    built = build_batch(records, producer_id=5, producer_epoch=0, base_sequence=7)
    assert packed(values) == built


@pytest.mark.parametrize("count", [1, 63, 64, 65, 8191, 8192, 8193, 16_384, 20_000])
def test_every_width_of_offset_delta_is_right(count: int) -> None:
    values = [b"%d" % number for number in range(count)]
    found = list(read_records(bytes(packed(values))))
    assert [record.value for record in found] == values
    assert [record.offset for record in found] == list(range(count))


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 8190, 8192, 5000, 1 << 20])
def test_every_width_of_length_is_right(length: int) -> None:
    values = [b"x" * length, b"", b"y" * length]
    assert [record.value for record in read_records(bytes(packed(values)))] == values


@given(st.lists(st.binary(max_size=20), max_size=70))
def test_a_last_record_of_another_kind_follows_the_values(values: list[bytes]) -> None:
    last = Record(value=b"last", headers=(("name", b"value"),))
    *found, end = read_records(bytes(packed(values, last)))
    assert [record.value for record in found] == values
    assert (end.value, end.headers, end.offset) == (b"last", last.headers, len(values))


@settings(max_examples=40)
@given(RECORDS)
def test_records_are_packed_whole_and_no_larger_than_said(records: list[Record]) -> None:
    batch = pack_records(records, 1000, (5, 0, 7))
    check_from_producer(memoryview(batch))
    found = [record._replace(offset=-1) for record in read_records(bytes(batch))]
    assert found == records
    assert len(batch) <= 61 + sum(map(record_bytes_max, records))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=150))
def test_a_value_takes_no_more_around_it_than_said(values: list[bytes]) -> None:
    assert len(packed(values)) <= 61 + sum(len(v) + RECORD_OVERHEAD_BYTES_MAX for v in values)


def test_memoryviews_are_packed_like_bytes() -> None:
    data = memoryview(b"abcdef")
    assert packed([data[:2], data[2:]]) == packed([b"ab", b"cdef"])  # type: ignore[list-item]
