"""How an append is divided, whatever comes."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.streams.pieces import pieces_of
from headrace.wire.errors import RequestError

COUNTS = st.lists(st.integers(0, 5), min_size=1, max_size=30)


@given(COUNTS, st.booleans(), st.data())
def test_pieces_hold_everything_in_order_and_fit(
    counts: list[int], whole: bool, data: st.DataObject
) -> None:
    if whole:
        counts = [count + 1 for count in counts]
    sizes = [data.draw(st.integers(1, 15)) for _ in range(sum(counts))]
    pieces = pieces_of(sizes, counts, 100, whole=whole)
    assert [start for start, _, _ in pieces] == [0, *(stop for _, stop, _ in pieces)][:-1]
    assert (pieces[-1].stop if pieces else 0) == len(sizes)
    ends = list(accumulate(counts))
    for start, stop, messages in pieces:
        assert 0 < sum(sizes[start:stop]) <= 100
        assert messages == sum(end <= stop for end in ends)
        assert not whole or stop in ends


@pytest.mark.parametrize(
    ("sizes", "counts", "whole"),
    [
        ([101], None, False),
        ([60, 60], [2], True),
        ([1, 1], [1], False),
        ([1], [1, 1], False),
        ([1], [0, 1], True),
        ([1, 1], [3, -1], False),
    ],
)
def test_what_cannot_be_divided_is_refused(
    sizes: list[int], counts: list[int] | None, whole: bool
) -> None:
    with pytest.raises(RequestError):
        pieces_of(sizes, counts, 100, whole=whole)
