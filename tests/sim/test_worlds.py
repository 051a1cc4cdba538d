"""Fixed seeds: worlds in which everything goes wrong, and no promise is broken."""

import pytest

from sim.run import simulate

MINUTES = 5


@pytest.mark.parametrize("seed", range(1, 4))
def test_no_promise_is_broken(seed):
    outcome = simulate(seed, MINUTES * 60)
    assert outcome.problems == []
    assert outcome.virtual_s >= MINUTES * 60
    assert outcome.operations > 100
