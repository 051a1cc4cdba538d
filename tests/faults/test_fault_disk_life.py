"""Whole lives of a store on a disk that fails, forgets and tears: see `proof.disk`.

Every test is a few lives from fixed seeds; HEADRACE_TEST_SEED begins with another one, and
`python -m proof.disk` goes on for as long as there is time.
"""

import os
from collections import Counter

import pytest

from proof.disk.damage import flip_bits, lie
from proof.disk.sweeps import FAULTS, crash, fail_nth, length_of

SEED = int(os.environ.get("HEADRACE_TEST_SEED", "1"))
RUNS = 10
"""Of one kind of fault, spread over the calls of a life."""


@pytest.mark.parametrize("name", FAULTS)
def test_whichever_call_of_a_life_fails_no_promise_is_broken(name):
    kind = list(FAULTS).index(name)
    seed = SEED + kind
    length = length_of(seed)
    met = refused = 0
    for nth in range(1 + kind, length, length // RUNS):
        outcome = fail_nth(seed, nth, FAULTS[name])
        met += outcome.was_met
        refused += outcome.refused
        if not outcome.was_met:
            break
    assert met
    assert refused or name == "short"


@pytest.mark.parametrize("fault", [None, "EIO", "full for a while"])
def test_wherever_the_power_goes_in_a_life_what_was_promised_is_there(fault):
    outcome = crash(SEED + 20, part=0.1, fault=FAULTS[fault] if fault else None)
    assert outcome.images > 10


def test_wherever_the_process_is_killed_what_was_acknowledged_is_there():
    assert crash(SEED + 20, part=0.1, durability="os").images > 5


def test_a_disk_that_lies_never_makes_the_log_hand_out_what_was_not_written():
    kinds = Counter[str]()
    for seed in range(SEED, SEED + 4):
        kinds.update(lie(seed).kinds)
    assert kinds["lie: refused at the start"]
    assert kinds["lie: lost"], "or it did not lie"


def test_a_flipped_bit_is_seen_and_costs_nothing_else():
    kinds = Counter[str]()
    for seed in range(SEED, SEED + 4):
        kinds.update(flip_bits(seed).kinds)
    assert kinds["flip: refused at the start"] + kinds["flip: refused at a read"]


def test_a_seed_is_a_life():
    assert fail_nth(SEED, 50, FAULTS["EIO"]) == fail_nth(SEED, 50, FAULTS["EIO"])
