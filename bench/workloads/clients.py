"""What users of confluent-kafka see: librdkafka from one Python program. For those who speak the
Kafka protocol."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.compare import Case, Sample, Settings
from bench.disk import touch_memory
from bench.systems import DURABILITIES, Running
from bench.transactions import commit_ms, records_per_s
from bench.workloads.rounds import KB, check_count, fresh_log

__all__ = ["librdkafka", "transactions"]

KAFKA = frozenset({"kafka"})
RECORDS_PER_S = 100_000
"""Of a measurement of so many seconds, so that short ones are short."""


def librdkafka(_: Settings) -> list[Case]:
    """Its default batching, 1 KB values, idempotent."""
    return [
        Case(
            "librdkafka",
            f"librdkafka {name}, 1 KB records",
            durability,
            "records/s",
            run,
            families=KAFKA,
        )
        for durability in DURABILITIES
        for name, run in (("produce, idempotent", _produce_round), ("consume", _consume_round))
    ]


def _count(settings: Settings) -> int:
    return min(int(settings.seconds * RECORDS_PER_S), settings.bytes_max // KB)


def _produce_round(running: Running, settings: Settings) -> Sample:
    count = _count(settings)
    with fresh_log(running) as topic:
        touch_memory(settings.directory, count * KB)
        before_s = running.cpu_s()
        elapsed_s = _produce(running.bootstrap, topic, count)
        cpu_s = running.cpu_s() - before_s
        check_count(running, topic, count)
    return Sample(count / elapsed_s, elapsed_s, count, count * KB, cpu_s)


def _consume_round(running: Running, settings: Settings) -> Sample:
    count = _count(settings)
    with fresh_log(running) as topic:
        _produce(running.bootstrap, topic, count)
        before_s = running.cpu_s()
        elapsed_s = _consume(running.bootstrap, topic, count)
        cpu_s = running.cpu_s() - before_s
    return Sample(count / elapsed_s, elapsed_s, count, count * KB, cpu_s)


def _produce(bootstrap: str, topic: str, count: int) -> float:
    failed: list[Any] = []

    def heard(error: Any, _: Any) -> None:
        if error:
            failed.append(error)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": count,
            "queue.buffering.max.kbytes": 1 << 20,
        }
    )
    value = bytes(KB)
    started = time.perf_counter()
    for _ in range(count):
        producer.produce(topic, value, on_delivery=heard)
        producer.poll(0)
    if producer.flush(60) or failed:
        raise RuntimeError(f"not everything was delivered: {failed[:1]}")
    return time.perf_counter() - started


def _consume(bootstrap: str, topic: str, count: int) -> float:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    started = time.perf_counter()
    seen = 0
    while seen < count:
        messages = consumer.consume(10_000, 10)
        if not messages:
            raise RuntimeError(f"only {seen} of {count} records came")
        seen += len(messages)
    elapsed = time.perf_counter() - started
    consumer.close()
    return elapsed


def transactions(_: Settings) -> list[Case]:
    """Next to plain produce in the same run, and the time of one small transaction."""
    return [
        Case(
            "transactions",
            "librdkafka, transactions of 1,000 records of 1 KB",
            "fsync",
            "records/s",
            _transactional,
            families=KAFKA,
        ),
        Case(
            "transactions",
            "librdkafka, a transaction of one record, p50",
            "fsync",
            "ms",
            _single,
            families=KAFKA,
            lower_is_better=True,
        ),
    ]


def _transactional(running: Running, settings: Settings) -> Sample:
    run: Callable[..., float] = partial(records_per_s, running.bootstrap, count=_count(settings))
    with fresh_log(running) as topic:
        rate = run(topic, transactional=True)
    with fresh_log(running) as topic:
        plain = run(topic, transactional=False)
    return Sample(rate, detail={"of plain produce": rate / plain})


def _single(running: Running, settings: Settings) -> Sample:
    with fresh_log(running) as topic:
        return Sample(commit_ms(running.bootstrap, topic, settings.seconds))
