"""What a topic keeps and how long the disk lasts, as the HTTP door tells it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from headrace.broker import kept
from headrace.testing import RunningBroker, running_broker


@pytest.fixture
def looking_broker() -> Iterator[RunningBroker]:
    """Looks at what is written all 0.1 s."""
    fast = {"headrace.group.balance.interval.ms": "100"}
    with running_broker(http=True, broker=fast) as running:
        yield running


def ask(get: Any, broker: RunningBroker, topic: str = "t") -> Any:
    got = get(broker, f"/topics?topic={topic}")
    assert got.status == 200
    assert got.headers["Content-Type"] == "application/json"
    return json.loads(got.text)


def produce(broker: RunningBroker, topic: str, age_s: float, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    stamp_ms = int((time.time() - age_s) * 1000)
    producer.produce(topic, bytes(100_000), partition=partition, timestamp=stamp_ms)
    assert producer.flush(10) == 0


def test_sizes_ages_and_the_window_of_the_disk_are_told(
    looking_broker: RunningBroker, get: Any, until: Any
) -> None:
    looking_broker.create_topic("t", 2)
    looking_broker.create_topic("other")
    before = ask(get, looking_broker)
    assert [part["oldest_ms"] for part in before["partitions"]] == [None, None]
    produce(looking_broker, "t", age_s=3600)
    produce(looking_broker, "t", age_s=60)
    produce(looking_broker, "other", age_s=0)

    def both_rates() -> Any:
        told = ask(get, looking_broker)
        return told["written_bytes_per_s"] and told["volume"]["lasts_s"] is not None and told

    found = until(both_rates, "write rates of the topic and of the volume")
    first, second = found["partitions"]
    assert (first["partition"], first["start"], first["end"]) == (0, 0, 2)
    assert 200_000 < first["size_bytes"] == found["size_bytes"]
    assert time.time() * 1000 - first["oldest_ms"] == pytest.approx(3_600_000, abs=60_000)
    assert second["oldest_ms"] is None
    volume = found["volume"]
    assert volume["written_bytes_per_s"] >= found["written_bytes_per_s"] > 0
    assert volume["lasts_s"] == pytest.approx(volume["free_bytes"] / volume["written_bytes_per_s"])
    assert 0 < volume["free_bytes"] < volume["size_bytes"]


def test_a_rate_that_is_not_known_yet_is_null(seen_broker: RunningBroker, get: Any) -> None:
    seen_broker.create_topic("t")
    found = ask(get, seen_broker)
    assert found["written_bytes_per_s"] is None
    assert found["volume"]["written_bytes_per_s"] is found["volume"]["lasts_s"] is None


def test_the_oldest_records_of_a_bounded_number_of_partitions_are_looked_up(
    seen_broker: RunningBroker, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LOOKUPS_MAX", 1)
    seen_broker.create_topic("t", 2)
    for partition in (0, 1):
        produce(seen_broker, "t", 0, partition)
    first, second = ask(get, seen_broker)["partitions"]
    assert first["oldest_ms"] is not None
    assert second["oldest_ms"] is None
    assert second["size_bytes"] > 100_000


def test_a_topic_must_be_named_and_be_there(seen_broker: RunningBroker, get: Any) -> None:
    assert get(seen_broker, "/topics").status == 400
    assert get(seen_broker, "/topics?topic=no%20topic").status == 404
    assert get(seen_broker, "/topics?topic=gone").status == 404
