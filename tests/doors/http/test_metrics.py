"""What a scrape says, after real clients did real work; read by Prometheus' own parser."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from headrace.broker import group_lag
from headrace.doors.http import routes
from headrace.groups.dead_letter import DeadLetterReason as Reason
from headrace.testing.share_member import ShareMember

MINUTE_S = 60


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "SCRAPE_FRESH_S", 0.0)


@pytest.fixture
def produce() -> Any:
    def send(
        broker: Any, count: int, age_s: float = 0, topic: str = "t", partition: int = 0
    ) -> None:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
        for _ in range(count):
            stamp_ms = int((time.time() - age_s) * 1000)
            producer.produce(topic, b"x" * 100, partition=partition, timestamp=stamp_ms)
        assert producer.flush(10) == 0

    return send


@pytest.fixture
def member(until: Any) -> Iterator[Any]:
    """`member(broker)` is a consumer of group g on topic t that has its assignment."""
    consumers: list[Consumer] = []

    def join(broker: Any) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "g",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "heartbeat.interval.ms": 100,
            }
        )
        consumers.append(consumer)
        consumer.subscribe(["t"])
        return consumer

    yield join
    for consumer in consumers:
        consumer.close()


def read(consumer: Consumer, count: int) -> None:
    """Read and commit `count` records."""
    deadline = time.monotonic() + 20
    while count:
        assert time.monotonic() < deadline
        found = consumer.poll(0.2)
        if found is not None:
            assert found.error() is None
            count -= 1
    consumer.commit(asynchronous=False)


def test_an_empty_broker_can_be_scraped(seen_broker, get, scrape):
    got = get(seen_broker, "/metrics")
    assert got.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = scrape(seen_broker)
    assert found("headrace_topics") == 0
    assert found("kafka_brokers") == 1
    assert found("process_resident_memory_bytes") > 1e6
    assert found("headrace_volume_free_bytes") <= found("headrace_volume_size_bytes")


def test_every_counter_ends_in_total_and_every_own_name_has_the_prefix(seen_broker, scrape):
    found = scrape(seen_broker)
    assert found.names
    for name, kind in found.types.items():
        assert name.startswith(("headrace_", "kafka_", "process_"))
        assert kind in ("counter", "gauge", "histogram")


def test_produced_records_are_seen_in_offsets_bytes_and_syncs(seen_broker, produce, scrape):
    seen_broker.create_topic("t", 2)
    produce(seen_broker, 7)
    found = scrape(seen_broker)
    part = {"topic": "t", "partition": 0}
    assert found("headrace_log_end_offset", **part) == 7
    assert found("headrace_log_high_watermark", **part) == 7
    assert found("headrace_log_start_offset", **part) == 0
    size = found("headrace_log_size_bytes", **part)
    assert size == found("headrace_topic_produced_bytes_total", topic="t") > 700
    assert found("kafka_topic_partition_current_offset", **part) == 7
    assert found("kafka_topic_partition_oldest_offset", **part) == 0
    assert found("kafka_topic_partitions", topic="t") == 2
    syncs = found("headrace_log_sync_duration_seconds_count")
    assert syncs == found("headrace_high_watermark_delay_seconds_count") >= 1
    assert found("headrace_requests_total", api="produce") >= 1
    assert found("headrace_request_duration_seconds_bucket", api="produce", le="+Inf") >= 1
    assert found("headrace_catalog_commit_duration_seconds_count") >= 1


def test_lag_is_told_in_records_and_in_seconds(seen_broker, produce, member, scrape):
    seen_broker.create_topic("t")
    produce(seen_broker, 3, age_s=10 * MINUTE_S)
    produce(seen_broker, 4, age_s=5 * MINUTE_S)
    consumer = member(seen_broker)
    read(consumer, 3)
    where = {"group": "g", "topic": "t", "partition": 0}
    theirs = {"consumergroup": "g", "topic": "t", "partition": 0}
    found = scrape(seen_broker)
    assert found("headrace_group_committed_offset", **where) == 3
    assert found("headrace_group_lag_records", **where) == 4
    assert found("kafka_consumergroup_lag", **theirs) == 4
    assert found("kafka_consumergroup_current_offset", **theirs) == 3
    assert found("kafka_consumergroup_members", consumergroup="g") == 1
    assert 5 * MINUTE_S - 1 <= found("headrace_group_lag_seconds", **where) < 6 * MINUTE_S
    assert found("headrace_group_commit_age_seconds", **where) < 30
    assert found("headrace_offset_commits_total") == 1
    read(consumer, 4)
    found = scrape(seen_broker)
    assert found("headrace_group_lag_records", **where) == 0
    assert found("headrace_group_lag_seconds", **where) == 0
    assert found("headrace_topic_fetched_bytes_total", topic="t") > 700
    assert found("headrace_fetch_response_bytes_count") >= 1


def test_transactions_are_told_while_open_and_how_they_ended(seen_broker, scrape):
    seen_broker.create_topic("t", 2)
    settings = {"bootstrap.servers": seen_broker.bootstrap, "transactional.id": "x"}
    producer, heir = Producer(settings), Producer(settings)
    producer.init_transactions(10)
    for commit in (True, False, None):
        producer.begin_transaction()
        producer.produce("t", b"x", partition=1)
        assert producer.flush(10) == 0
        if commit is not None:
            (producer.commit_transaction if commit else producer.abort_transaction)(10)
    where = {"topic": "t", "partition": 1}
    found = scrape(seen_broker)
    assert found("headrace_transactions_open", state="ongoing") == 1
    assert found("headrace_transactions_open", state="ending") == 0
    assert 0 < found("headrace_transaction_oldest_age_seconds", state="ongoing") < MINUTE_S
    assert found("headrace_transactions_ended_total", outcome="commit") == 1
    assert found("headrace_transactions_ended_total", outcome="abort") == 1
    assert found("headrace_log_last_stable_offset", **where) == 4
    assert found("headrace_log_last_stable_offset_lag", **where) == 1
    assert found("headrace_log_last_stable_offset", topic="t", partition=0) is None
    heir.init_transactions(10)
    with pytest.raises(KafkaException):
        producer.commit_transaction(10)
    found = scrape(seen_broker)
    assert found("headrace_transactions_open", state="ongoing") == 0
    assert found("headrace_transaction_oldest_age_seconds", state="ongoing") == 0
    assert found("headrace_transactions_ended_total", outcome="abort") == 2
    assert found("headrace_transaction_duration_seconds_count") == 3
    assert found("headrace_transaction_fenced_requests_total") == 1
    assert found("headrace_transaction_timeouts_total") == 0
    assert found("headrace_transaction_end_retries_total") == 0
    assert found("headrace_log_last_stable_offset", **where) is None


def test_share_groups_lag_by_what_they_are_not_done_with(seen_broker, produce, scrape, get):
    seen_broker.create_topic("t")
    config = {"share.auto.offset.reset": "earliest"}

    async def begin_at_the_beginning(node):
        await node.broker.group_configs.alter("s", lambda _: config, in_use=False)
        return node.broker.topics.by_name["t"].id

    topic_id = seen_broker.call(begin_at_the_beginning)
    produce(seen_broker, 5, age_s=5 * MINUTE_S)
    member = ShareMember("127.0.0.1", seen_broker.port, topic_id, "s")
    try:
        assert member.acquire() == [(0, 4, 1)]
        assert member.acknowledge((0, 0, [1]), (3, 3, [1])) == 0
        where = {"group": "s", "topic": "t", "partition": 0}
        found = scrape(seen_broker)
        assert found("headrace_group_committed_offset", **where) == 1
        assert found("headrace_group_lag_records", **where) == 3
        assert found("headrace_group_members", group="s") == 1
        assert 5 * MINUTE_S - 1 <= found("headrace_group_lag_seconds", **where) < 6 * MINUTE_S
        (group,) = json.loads(get(seen_broker, "/groups").text)
        assert (group["type"], group["lag"]) == ("share", 3)
        assert group["partitions"][0]["since_commit_s"] is None
    finally:
        member.die()


def test_lag_in_seconds_is_by_append_time_where_the_topic_stamps_it(
    seen_broker, produce, member, scrape
):
    seen_broker.create_topic("t", 1, {"message.timestamp.type": "LogAppendTime"})
    produce(seen_broker, 1, age_s=MINUTE_S)
    consumer = member(seen_broker)
    read(consumer, 1)
    produce(seen_broker, 1, age_s=10 * MINUTE_S)
    lag_s = scrape(seen_broker)("headrace_group_lag_seconds", group="g", topic="t", partition=0)
    assert 0 <= lag_s < MINUTE_S


def test_one_scrape_looks_up_a_bounded_number_of_times_and_the_next_goes_on(
    seen_broker, produce, member, scrape, monkeypatch
):
    seen_broker.create_topic("t", 4)
    for partition in range(4):
        produce(seen_broker, 2, age_s=MINUTE_S, partition=partition)
    consumer = member(seen_broker)
    read(consumer, 8)
    for partition in range(4):
        produce(seen_broker, 1, age_s=MINUTE_S, partition=partition)
    monkeypatch.setattr(group_lag, "LOOKUPS_PER_LOOK_MAX", 1)

    def known() -> int:
        found = scrape(seen_broker)
        lags = [value for (name, _), value in found.values.items() if name.endswith("lag_seconds")]
        return sum(value > 0 for value in lags)

    assert [known() for _ in range(5)] == [1, 2, 3, 4, 4]
    assert scrape(seen_broker)("headrace_group_lag_lookups_postponed_total") == 3 + 2 + 1


def test_rebalances_are_counted_by_group_and_cause(seen_broker, produce, member, scrape, until):
    seen_broker.create_topic("t", 2)
    produce(seen_broker, 1)
    read(member(seen_broker), 1)
    found = scrape(seen_broker)
    assert found("headrace_group_rebalances_total", group="g") == 1
    assert found("headrace_rebalances_total", reason="joined") == 1
    assert found("headrace_rebalance_duration_seconds_count") == 1
    assert found("headrace_group_members", group="g") == 1
    assert found("headrace_group_state", group="g", state="Stable") == 1
    assert found("headrace_groups", state="Stable") == 1


def test_a_stuck_member_is_seen_and_so_is_that_it_goes_on(
    seen_broker, produce, member, scrape, get, until, caplog
):
    seen_broker.create_topic("t")
    produce(seen_broker, 5)
    consumer = member(seen_broker)
    read(consumer, 1)

    def stuck() -> float:
        return scrape(seen_broker)("headrace_group_stuck_members", group="g")

    assert stuck() == 0
    until(stuck, "being found stuck")
    assert get(seen_broker, "/readyz").text == "ready\n"
    assert '"stuck": true' in get(seen_broker, "/groups?group=g").text
    assert "is stuck" in caplog.text
    read(consumer, 4)
    until(lambda: not stuck(), "being found to go on")


def test_dead_letters_are_counted_by_group(seen_broker, scrape):
    allowed = {"errors.deadletterqueue.group.enable": "true"}
    seen_broker.create_topic("t")
    seen_broker.create_topic("dlq.t", 1, allowed)
    copying = {
        "errors.deadletterqueue.topic.name": "dlq.t",
        "errors.deadletterqueue.copy.record.enable": "true",
    }

    async def send(node):
        for group in ("g", "h"):
            await node.broker.group_configs.alter(group, lambda _: copying, in_use=False)
            await node.broker.dead_letters.send(group, "t", 0, [(0, 2, 1)], Reason.REJECTED)
            await node.broker.topics.delete("dlq.t") if group == "g" else None

    seen_broker.call(send)
    found = scrape(seen_broker)
    assert found("headrace_dead_letters_total", group="g") == 3
    assert found("headrace_dead_letters_uncopied_total", group="g") == 3
    assert found("headrace_dead_letters_lost_total", group="h", reason="no_topic") == 3


def test_errors_are_counted_by_api_and_name(seen_broker, scrape):
    producer = Producer({"bootstrap.servers": seen_broker.bootstrap, "message.timeout.ms": 5000})
    seen_broker.create_topic("t", 1, {"max.message.bytes": "1000"})
    producer.produce("t", b"x" * 2000)
    producer.flush(10)
    found = scrape(seen_broker)
    assert found("headrace_request_errors_total", api="produce", error="MESSAGE_TOO_LARGE") >= 1


def test_connections_and_malformed_requests_are_counted(seen_broker, scrape, connect, until):
    connect(seen_broker)
    until(lambda: scrape(seen_broker)("headrace_connections") == 1, "one connection")
    with socket.create_connection(("127.0.0.1", seen_broker.port)) as rude:
        rude.sendall(b"\0\0\0\x0a" + b"\x7f" * 10)
        rude.settimeout(10)
        assert rude.recv(1) == b""
    found = scrape(seen_broker)
    assert found("headrace_malformed_requests_total") == 1
    assert found("headrace_connections_accepted_total") == 2


def test_groups_are_shown_as_json(seen_broker, produce, member, get):
    seen_broker.create_topic("t")
    produce(seen_broker, 2, age_s=MINUTE_S)
    consumer = member(seen_broker)
    read(consumer, 1)
    got = get(seen_broker, "/groups")
    assert got.headers["Content-Type"] == "application/json"
    (group,) = json.loads(got.text)
    assert (group["group"], group["state"], group["lag"]) == ("g", "Stable", 1)
    assert MINUTE_S - 1 <= group["lag_s"] < 2 * MINUTE_S
    (part,) = group["partitions"]
    assert (part["committed"], part["end"]) == (1, 2)
    assert get(seen_broker, "/groups?group=none").status == 404
    assert get(seen_broker, "/groups?group=" + "x" * 10_000).status == 404
