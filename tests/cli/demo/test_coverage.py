import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.demo.coverage import Coverage

RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda pair: (pair[0], sum(pair)))
)


@given(RANGES)
def test_coverage_counts_like_a_set_of_offsets(ranges: list[tuple[int, int]]) -> None:
    coverage, offsets, processed = Coverage(), set[int](), 0
    for start, end in ranges:
        coverage.add(start, end)
        offsets.update(range(start, end))
        processed += end - start
    assert coverage.covered == len(offsets)
    assert coverage.processed == processed
    assert coverage.redelivered == processed - len(offsets)
    gap = next(offset for offset in range(100) if offset not in offsets)
    assert coverage.end == gap


def test_an_empty_range_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="empty"):
        Coverage().add(3, 3)
