"""Streams for some seconds, with partitions that open and retire."""

import pytest

from proof.broker import HeadraceBroker
from proof.streams.load import Plan
from proof.streams.run import run


@pytest.mark.slow
def test_no_stream_loses_or_reorders_a_record_while_partitions_open_and_retire(tmp_path):
    plan = Plan(
        seconds=8,
        seed=5,
        streams=64,
        records_per_s=40,
        wave_s=8,
        life_s=4,
        hot_at_top=6,
        partitions=3,
    )
    with HeadraceBroker(tmp_path, with_grpc=True) as broker:
        report = run(plan, broker)
    assert report.is_good(), report.as_json()
    assert report.opened + report.reopened
    assert report.retired
    assert report.close_signals
    assert report.acknowledged_records > 2000
