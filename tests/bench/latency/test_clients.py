"""A whole run against Headrace, and what the consumer says of records that are not there."""

from array import array

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from bench.latency.clients import Spec, check
from bench.latency.runs import both
from bench.latency.schedule import Schedule


def test_a_run_sees_every_record_acknowledged_and_received(headrace_broker):
    admin = AdminClient({"bootstrap.servers": headrace_broker.bootstrap})
    config = {"max.message.bytes": str(2 << 20)}
    admin.create_topics([NewTopic("paced", 1, 1, config=config)])["paced"].result(10)
    spec = Spec("kafka", headrace_broker.bootstrap, "paced", 500_000, 1000, 200, 5.0)
    seen = both(spec, 30)
    assert seen["due"] == seen["sent"] == seen["acked"] == seen["received"] == 1000
    assert 0.4 < seen["seconds"] < 20
    for name in ("ack", "end_to_end"):
        assert seen[name]["count"] == 800
        assert 0 < seen[name]["p50_ms"] <= seen[name]["p99_9_ms"] <= seen[name]["max_ms"]


def test_a_record_that_is_missing_or_comes_twice_is_an_error():
    schedule = Schedule(1000, 10, 100)
    check(array("q", [1020, 1030]), schedule, 2)
    with pytest.raises(RuntimeError, match=r"record 3: the one \+1 places"):
        check(array("q", [1020, 1040]), schedule, 2)
    with pytest.raises(RuntimeError, match=r"record 3: the one -1 places"):
        check(array("q", [1020, 1020]), schedule, 2)
