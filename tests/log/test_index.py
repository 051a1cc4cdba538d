from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.log.index import NO_TIMESTAMP, SparseIndex

STEPS = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(61, 100_000), st.integers(0, 50)), max_size=40
)
"""Records, bytes and the growth of the greatest timestamp of successive batches."""


def build(steps: list[tuple[int, int, int]], base: int = 0) -> tuple[SparseIndex, list[tuple]]:
    index, rows = SparseIndex(), []
    offset, position, timestamp = base, 0, NO_TIMESTAMP
    for records, size, growth in steps:
        index.add(offset, position, timestamp)
        rows.append((offset, position, timestamp))
        offset, position = offset + records, position + size
        timestamp = growth if timestamp == NO_TIMESTAMP else timestamp + growth
    return index, rows


@given(STEPS.filter(bool), st.integers(-10, 50_000), st.integers(-10, 5_000_000))
def test_a_search_finds_the_last_entry_at_or_before(steps, offset, position):
    index, rows = build(steps)
    by_offset = rows[max(bisect_right([row[0] for row in rows], offset) - 1, 0)]
    by_position = rows[max(bisect_right([row[1] for row in rows], position) - 1, 0)]
    assert index.at_offset(offset) == by_offset[:2]
    assert index.at_position(position) == by_position[:2]


@given(STEPS.filter(bool), st.integers(-10, 2_000))
def test_nothing_before_the_entry_for_a_time_is_young_enough(steps, timestamp_ms):
    index, rows = build(steps)
    entry = index.at_time(timestamp_ms)
    at = [row[:2] for row in rows].index(entry)
    assert rows[at][2] < timestamp_ms
    assert all(row[2] >= timestamp_ms for row in rows[at + 1 :])


@given(STEPS, st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_an_encoded_index_comes_back(steps, base, covered_bytes):
    index, rows = build(steps, base)
    decoded, covered = SparseIndex.decode(index.encode(base, covered_bytes), base)
    assert covered == covered_bytes
    assert len(decoded) == len(rows)
    for offset, position, _ in rows:
        assert decoded.at_offset(offset) == (offset, position)
    assert decoded.encode(base, covered_bytes) == index.encode(base, covered_bytes)


@given(STEPS, st.integers(0, 5_000_000))
def test_cutting_keeps_the_entries_before_a_position(steps, position):
    index, rows = build(steps)
    index.cut(position)
    assert len(index) == sum(row[1] < position for row in rows)


def test_any_changed_or_missing_byte_of_the_file_is_noticed():
    index, _ = build([(3, 100, 5), (4, 900, 1), (1, 70, 0)])
    data = index.encode(42, 1070)
    for at in range(len(data)):
        with pytest.raises(ValueError):
            SparseIndex.decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], 42)
        with pytest.raises(ValueError):
            SparseIndex.decode(data[:at], 42)
    with pytest.raises(ValueError):
        SparseIndex.decode(data, 43)
