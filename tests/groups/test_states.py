import itertools

import pytest

from headrace.groups.states import TRANSITIONS, Event, State, after


def test_what_is_not_in_the_table_raises() -> None:
    for state, event in itertools.product(State, Event):
        if (state, event) in TRANSITIONS:
            assert after(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(ValueError, match=state.value):
                after(state, event)


def test_every_classic_state_can_be_reached_and_only_dead_is_final() -> None:
    classic = set(State) - {State.RECONCILING}
    reached = {State.EMPTY}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == classic
    assert {before for before, _ in TRANSITIONS} == classic - {State.DEAD}
