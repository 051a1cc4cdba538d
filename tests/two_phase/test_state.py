import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.two_phase import PreparedState


@given(st.integers(0, 2**63 - 1), st.integers(0, 32766))
def test_a_state_is_read_as_it_was_written(producer_id, epoch):
    state = PreparedState(producer_id, epoch)
    assert PreparedState.parse(str(state)) == state


@pytest.mark.parametrize(
    "text", ["", "7", "7:", ":3", "7:3:1", "-1:-1", "7:3 ", "7 :3", "a:b", "٣:1"]
)
def test_anything_else_is_no_state(text):
    with pytest.raises(ValueError, match="no state of a prepared transaction"):
        PreparedState.parse(text)
