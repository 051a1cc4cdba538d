"""Deliberate mistakes in the broker are found, within a few worlds each."""

import pytest

from sim.canaries import CANARIES, canary
from sim.run import simulate

SEEDS_MAX = 6
MINUTES = 8

SCENES = {
    "no-sync": "plain",
    "ack-before-sync": "plain",
    "forgotten-producers": "plain",
    "aborted-shown": "copies",
    "forgotten-commits": "next",
}


@pytest.mark.parametrize("name", sorted(CANARIES))
def test_a_canary_is_heard(name):
    with canary(name):
        for seed in range(1, SEEDS_MAX + 1):
            outcome = simulate(seed, MINUTES * 60, [SCENES[name]])
            if outcome.problems:
                return
    raise AssertionError(f"{SEEDS_MAX} worlds have not found {name}")
