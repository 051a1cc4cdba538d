"""Fixed seeds: worlds in which everything goes wrong, and no promise is broken."""

import pytest

from sim.run import SCENES, simulate

MINUTES = 12


def play(seed, scenes):
    outcome = simulate(seed, MINUTES * 60, scenes)
    assert outcome.problems == []
    assert outcome.virtual_s >= MINUTES * 60
    assert outcome.operations > 50


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("scene", sorted(SCENES))
def test_no_promise_is_broken(scene, seed):
    play(seed, [scene])


@pytest.mark.parametrize("seed", range(4, 8))
def test_scenes_do_not_disturb_each_other(seed):
    play(seed, [])
