"""Which logs are compacted, and what is told of it."""

import asyncio

import pytest

from headrace.broker.compaction import cleaning_states, compact_due
from headrace.broker.record_time import record_time_ms
from headrace.broker.stats import CompactionStats
from headrace.testing import running_broker
from headrace.testing.raw_client import RawClient
from headrace.wire.errors import ErrorCode
from headrace.wire.records import Record, build_batch

MAP_BYTES = 1 << 20
FAR_MS = 1 << 50
COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}


@pytest.fixture
def broker():
    with running_broker(broker={"log.cleaner.backoff.ms": "3600000"}) as running:
        yield running


def produce(broker, topic, *records):
    with RawClient(broker.host, broker.port) as client:
        batch = build_batch(
            [Record(timestamp_ms=1, key=key, value=value) for key, value in records]
        )
        return client.produce(topic, 0, batch)


def contents(broker, topic):
    with RawClient(broker.host, broker.port) as client:
        return [(record.key, record.value) for record in client.read_all(topic, 0)]


def compact(broker, *topics) -> CompactionStats:
    """Seal what was written, then let one round go by."""
    stats = CompactionStats()

    async def work(node):
        for topic in topics:
            log = node.broker.topics.get(topic).partitions[0].log
            if log.segments.active.size_bytes:
                log.roll()
            for _ in range(2):  # the second time it is idle, and gets its checkpoint
                await log.tidy(0)
        await compact_due(node.broker.topics, MAP_BYTES, stats, lambda: FAR_MS)

    broker.call(work)
    return stats


def test_topics_that_are_compacted_get_their_turn_and_others_stay(broker):
    for topic, configs in (
        ("c", COMPACTED),
        ("cd", COMPACTED | {"cleanup.policy": "compact,delete"}),
        ("d", {}),
    ):
        broker.create_topic(topic, 1, configs)
        for value in b"123":
            produce(broker, topic, (b"a", b"%d" % value))
    stats = compact(broker, "c", "cd", "d")
    assert (stats.passes, stats.failures) == (2, 0)
    assert 0 < stats.freed_bytes < stats.read_bytes
    assert contents(broker, "c") == contents(broker, "cd") == [(b"a", b"51")]
    assert len(contents(broker, "d")) == 3


def test_the_policy_changes_while_the_topic_is_used(broker):
    broker.create_topic("t")
    for value in b"123":
        produce(broker, "t", (b"a", b"%d" % value))
    produce(broker, "t", (None, b"no key"))
    assert compact(broker, "t").passes == 0

    async def alter(node):
        await node.broker.topics.alter_configs("t", lambda _: dict(COMPACTED))

    broker.call(alter)
    assert compact(broker, "t").passes == 1
    assert contents(broker, "t") == [(b"a", b"51")]
    assert produce(broker, "t", (None, b"")).error_code == ErrorCode.INVALID_RECORD


def test_a_log_that_fails_keeps_no_other_from_its_turn(broker, caplog):
    for topic in ("bad", "good"):
        broker.create_topic(topic, 1, COMPACTED)
        for value in b"123":
            produce(broker, topic, (b"a", b"%d" % value))

    async def damage(node):
        log = node.broker.topics.get("bad").partitions[0].log
        log.roll()
        await log.tidy(0)
        path = next(iter(log.segments)).path

        def flip():
            with open(path, "r+b") as file:
                file.seek(70)
                file.write(b"\xff")

        await asyncio.to_thread(flip)

    broker.call(damage)
    stats = compact(broker, "bad", "good")
    assert (stats.passes, stats.failures) == (1, 1)
    assert contents(broker, "good") == [(b"a", b"51")]
    assert compact(broker, "bad", "good").failures == 0
    assert "is not compacted any more" in caplog.text

    async def states(node):
        states = cleaning_states(node.broker.topics, 0)
        return {partition.topic.name: state for partition, state in states}

    found = broker.call(states)
    assert "CRC" in found["bad"].failure
    assert found["good"].failure is None


def test_records_without_a_key_are_named_in_the_answer(broker):
    broker.create_topic("t", 1, COMPACTED)
    answer = produce(broker, "t", (b"a", b""), (None, b""), (b"", b""), (None, None))
    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert [error.batch_index for error in answer.record_errors] == [1, 3]
    assert all("key" in error.batch_index_error_message for error in answer.record_errors)
    assert contents(broker, "t") == []


def test_compaction_goes_on_by_itself(until):
    configs = COMPACTED | {"segment.ms": "1"}
    broker_configs = {"log.cleaner.backoff.ms": "100", "log.retention.check.interval.ms": "100"}
    with running_broker(broker=broker_configs, http=True) as broker:
        broker.create_topic("t", 1, configs)
        for value in b"123":
            produce(broker, "t", (b"a", b"%d" % value))
        until(lambda: contents(broker, "t") == [(b"a", b"51")])


def test_the_time_at_an_offset_is_that_of_the_next_record_that_is_left(broker):
    broker.create_topic("t", 1, COMPACTED)
    produce(broker, "t", (b"a", b"1"))
    produce(broker, "t", (b"a", b"2"))
    produce(broker, "t", (b"b", None))
    produce(broker, "t", (b"c", b""))
    compact(broker, "t")
    assert [key for key, _ in contents(broker, "t")] == [b"a", b"b", b"c"]

    async def times(node):
        partition = node.broker.topics.get("t").partitions[0]
        return [await record_time_ms(partition, offset) for offset in range(5)]

    assert broker.call(times) == [1, 1, 1, 1, -1]
