"""Deliberate mistakes in the broker are found, within a few worlds each."""

import pytest

from sim.canaries import CANARIES, canary
from sim.run import simulate

MINUTES = 6
SEEDS_MAX = 6

WORLDS = {
    "no-sync": ("plain", ["power_cut"]),
    "ack-before-sync": ("plain", ["power_cut"]),
    "forgotten-producers": ("plain", ["power_cut"]),
    "aborted-shown": ("copies", []),
    "forgotten-commits": ("next", []),
}
"""The scene, and the faults if not all."""


@pytest.mark.parametrize("name", sorted(CANARIES))
def test_a_canary_is_heard(name):
    scene, faults = WORLDS[name]
    seeds = range(1, SEEDS_MAX + 1)
    with canary(name):
        assert any(simulate(seed, MINUTES * 60, [scene], faults).problems for seed in seeds)
