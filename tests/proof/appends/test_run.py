"""Lists under transactions and kills, for a few seconds."""

import pytest

from proof.appends.run import Plan, run
from proof.broker import HeadraceBroker


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_lists_keep_what_was_committed_and_show_nothing_else_while_the_broker_is_killed(tmp_path):
    with HeadraceBroker(tmp_path) as broker:
        report = run(Plan(seconds=7, seed=1), broker)
    assert report.problems == []
    assert report.kills == 2
    assert report.acknowledged > 100
    assert report.aborted > 5
    assert report.readings > 10
