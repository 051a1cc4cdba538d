"""Runs are only a shorter way to write down one state for each offset."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.share_window import RecordState, Run, Window

SPANS = st.tuples(st.integers(0, 40), st.integers(0, 15), st.sampled_from(RecordState))


@given(st.lists(st.one_of(SPANS, st.integers(0, 60)), max_size=40))
def test_window_is_what_a_plain_list_of_states_is(changes: list[object]) -> None:
    start, states = 0, {}
    window = Window(0)
    for change in changes:
        if isinstance(change, int):
            window.drop_before(change)
            start = max(start, change)
            states = {offset: states[offset] for offset in states if offset >= start}
        else:
            ahead, length, state = change
            first = min(start + ahead, window.end)
            window.put(Run(first, first + length, state))
            states |= dict.fromkeys(range(first, first + length + 1), state)
        told = {o: run.state for run in window.runs for o in range(run.first, run.last + 1)}
        assert told == states
        assert (window.start, window.end) == (start, start + len(states))
        assert all(one[2:] != two[2:] for one, two in pairwise(window.runs))
        cut = window.between(start + 3, start + 9)
        assert sum(run.records for run in cut) == len(states.keys() & range(start + 3, start + 10))
