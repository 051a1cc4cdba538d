"""Retention as it is configured: at once, at least every minute, and never under a reader."""

import asyncio
import contextlib
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.broker import housekeeping
from headrace.testing import running_broker
from headrace.testing.hot_messages import FetchResponse
from headrace.testing.raw_client import RawClient, fetch_request, records_of
from headrace.wire.records import Record, build_batch

QUICK = {"log.retention.check.interval.ms": "100", "log.cleaner.backoff.ms": "100"}
SMALL = {"segment.bytes": "1024", "message.timestamp.after.max.ms": "9223372036854775807"}
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def broker():
    with running_broker(broker=QUICK) as running:
        yield running


def alter(broker, topic: str, **configs: str) -> None:
    values = {name.replace("_", "."): value for name, value in configs.items()}

    async def work(node: Any) -> None:
        await node.broker.topics.alter_configs(topic, lambda before: before | values)

    broker.call(work)


def fill(broker, topic: str, count: int, value: bytes = b"x" * 200, timestamp_ms: int = 1) -> None:
    with RawClient(broker.host, broker.port) as client:
        for at in range(count):
            batch = build_batch(
                [Record(timestamp_ms=timestamp_ms, key=b"%d" % (at % 4), value=value)]
            )
            assert client.produce(topic, 0, batch).error_code == 0


def start_of(broker, topic: str) -> int:
    async def work(node: Any) -> int:
        return node.broker.topics.get(topic).partitions[0].log.offsets().start

    return broker.call(work)


def test_a_change_counts_for_logs_in_use(broker, until):
    broker.create_topic("t", 1, {**SMALL, "retention.ms": "-1"})
    fill(broker, "t", 40)
    alter(broker, "t", retention_bytes="3000")
    until(lambda: start_of(broker, "t") > 0)
    by_bytes = start_of(broker, "t")
    assert by_bytes < 40 - 3000 // 300
    alter(broker, "t", headrace_retain="true", retention_ms="1000")
    fill(broker, "t", 20)
    alter(broker, "t", headrace_retain="false")
    until(lambda: start_of(broker, "t") > by_bytes + 20)


def test_neither_policy_keeps_everything_and_both_do_both(broker, until):
    broker.create_topic("none", 1, {**SMALL, "cleanup.policy": "", "retention.ms": "1"})
    broker.create_topic("compact", 1, {**SMALL, "cleanup.policy": "compact", "retention.ms": "1"})
    both = {"cleanup.policy": "compact,delete", "retention.ms": "-1", "retention.bytes": "-1"}
    broker.create_topic("both", 1, {**SMALL, **both, "min.cleanable.dirty.ratio": "0"})
    for topic in ("none", "compact", "both"):
        fill(broker, topic, 30)

    def left(topic: str) -> int:
        with RawClient(broker.host, broker.port) as client:
            return len(client.read_all(topic, 0, start_of(broker, topic)))

    until(lambda: left("both") < 12)
    assert start_of(broker, "both") == 0
    alter(broker, "both", retention_ms="1000")
    until(lambda: start_of(broker, "both") > 20)
    assert (start_of(broker, "none"), start_of(broker, "compact")) == (0, 0)
    assert left("none") == 30
    assert 4 <= left("compact") < 30


def test_a_slow_reader_gets_what_retention_deletes_meanwhile(broker, until):
    broker.create_topic("t", 1, {"segment.bytes": "4000000", "retention.ms": "-1"})
    values = [bytes([at]) * 500_000 for at in range(32)]
    for value in values:
        fill(broker, "t", 1, value)
    with RawClient(broker.host, broker.port) as client:
        wish = fetch_request("t", 0, 0, partition_max_bytes=4_000_000)
        wish.max_bytes = 4_000_000
        for _ in range(4):  # more answers than sockets and pipes hold
            client.send_request(wish, 12)
        client.socket.recv(1, socket.MSG_PEEK)
        alter(broker, "t", retention_bytes="0", retention_ms="1")
        until(lambda: start_of(broker, "t") == 32)
        answers = [client.read_answer(FetchResponse, 12)[1] for _ in range(4)]
    parts = [answer.responses[0].partitions[0] for answer in answers]
    assert not parts[0].error_code
    for part in parts:  # those that were looked up after the deletion are told of it
        found = [record.value for record in records_of(part.records or b"")]
        assert found == ([] if part.error_code else values[:7])


def test_logs_are_looked_after_at_least_every_minute(broker, monkeypatch):
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        raise asyncio.CancelledError

    async def work(node: Any) -> None:
        for interval_s in (3600.0, 5.0):
            with contextlib.suppress(asyncio.CancelledError):
                await housekeeping.keep_house(node.broker.topics, lambda: 0, interval_s)

    monkeypatch.setattr(housekeeping, "asyncio", SimpleNamespace(sleep=sleep))
    broker.call(work)
    assert waited == [60.0, 5.0]
