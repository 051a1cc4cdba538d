"""A bank for some seconds, with everything that makes it a proof."""

import pytest

from proof.bank.run import Plan, run
from proof.broker import HeadraceBroker


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_sum_holds_while_tellers_and_broker_are_killed(tmp_path):
    plan = Plan(
        seconds=9,
        seed=4,
        directory=tmp_path,
        protocol="consumer",
        tellers=3,
        teller_killed_every_s=3,
        broker_killed_every_s=4,
        teller_frozen_every_s=1000,
        transaction_timeout_ms=5000,
    )
    with HeadraceBroker(tmp_path) as broker:
        report = run(plan, broker)
    assert report.is_good(), report.as_json()
    assert report.broker_kills
    assert report.tellers_killed
    assert report.transactions["committed"] > 20
    assert report.hidden_records
    assert report.reads > 20
