"""What transactions cost, through librdkafka: next to plain produce, and one commit at a time."""

import statistics
import time
from typing import Any

from confluent_kafka import Producer

__all__ = ["commit_ms", "records_per_s"]

IN_TRANSACTION = 1_000
VALUE = bytes(1024)
WAIT_S = 30.0


def _producer(bootstrap: str, transactional_id: str | None, count: int = 1000) -> Producer:
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 5,
        "queue.buffering.max.messages": count,
        "queue.buffering.max.kbytes": 1 << 20,
    }
    if transactional_id is None:
        return Producer(config)
    producer = Producer({**config, "transactional.id": transactional_id})
    producer.init_transactions(WAIT_S)
    return producer


def records_per_s(bootstrap: str, topic: str, count: int, *, transactional: bool) -> float:
    """So many records of 1 KB, in transactions of IN_TRANSACTION or in none."""
    producer = _producer(bootstrap, topic if transactional else None, count)
    failed: list[Any] = []

    def heard(error: Any, _: Any) -> None:
        if error:
            failed.append(error)

    started = time.perf_counter()
    for number in range(count):
        if transactional and number % IN_TRANSACTION == 0:
            producer.begin_transaction()
        producer.produce(topic, VALUE, on_delivery=heard)
        producer.poll(0)
        if transactional and (number % IN_TRANSACTION == IN_TRANSACTION - 1 or number == count - 1):
            producer.commit_transaction(WAIT_S)
    if producer.flush(WAIT_S) or failed:
        raise RuntimeError(f"not everything was delivered: {failed[:1]}")
    return count / (time.perf_counter() - started)


def commit_ms(bootstrap: str, topic: str, seconds: float) -> float:
    """Transactions of one record, one after the other: from begin to committed, the median."""
    producer = _producer(bootstrap, f"{topic}-single")
    took_ms: list[float] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        started = time.perf_counter()
        producer.begin_transaction()
        producer.produce(topic, VALUE)
        producer.commit_transaction(WAIT_S)
        took_ms.append(1000 * (time.perf_counter() - started))
    return statistics.median(took_ms)
