"""Short rounds: one that must find nothing, and one in which acknowledgements are worth nothing."""

import pytest

from proof.chaos.faults import FAULTS
from proof.chaos.round import Plan, play
from proof.chaos.volume import why_no_volume


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_kills_power_cuts_and_lost_answers_break_no_promise(tmp_path):
    faults = ("kill", "power-cut", "failing-sync", "resets")
    outcome = play(Plan(seed=6, seconds=5, directory=tmp_path, faults=faults))
    for name, why in outcome.skipped.items():
        print(f"without {name}: {why}")
    assert outcome.problems == []
    assert outcome.acknowledged > 1000
    assert outcome.copied == outcome.acknowledged
    assert outcome.appends > 100
    assert any(incident.fault != "none" for incident in outcome.incidents)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(why_no_volume() is not None, reason=str(why_no_volume()))
def test_a_power_cut_is_noticed_where_nothing_was_synced(tmp_path):
    """That the proof can fail: with durability=os the tail goes, though it was acknowledged."""
    plan = Plan(seed=1, seconds=2, directory=tmp_path, faults=("power-cut",), durability="os")
    outcome = play(plan)
    assert any(problem.startswith("lost: ") for problem in outcome.problems)
    assert (tmp_path / "history.json").exists()


def test_every_fault_says_what_it_lacks_or_nothing(tmp_path):
    class Nowhere:
        why_no_volume = "there is no loop device"

    lacking = {name: kind().lacks(Nowhere()) for name, kind in FAULTS.items()}
    assert lacking["power-cut"] == lacking["full-disk"] == "there is no loop device"
    assert lacking["kill"] is None
