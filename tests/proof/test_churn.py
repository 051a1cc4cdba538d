"""A short round of the proof, with every client that can run here."""

import pytest

from proof.broker import HeadraceBroker
from proof.churn import Plan, run
from proof.clients import CLIENTS, Unavailable

SECONDS = 14


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_groups_that_change_while_the_broker_is_killed_lose_nothing_and_go_on(tmp_path):
    clients = []
    for client in CLIENTS.values():
        try:
            client.check()
        except Unavailable as why:
            print(f"without {client.name}: {why}")
        else:
            clients.append(client)
    plan = Plan(clients, SECONDS, records=20_000, kills=1, seed=1, directory=tmp_path)
    with HeadraceBroker(tmp_path) as broker:
        report = run(plan, broker)
    assert report.kills == 1
    assert report.faults() == []
    for group in report.groups:
        assert group.records == 20_000
        assert group.started > SECONDS / 3


def test_the_node_client_can_run_or_says_what_it_lacks():
    try:
        CLIENTS["platformatic"].check()
    except Unavailable as why:
        pytest.skip(str(why))
