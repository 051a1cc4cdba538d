"""The effects of events are in the database once, though consumers are killed and events come
twice."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from headrace.testing import RunningBroker, running_broker

EXAMPLES = Path(__file__).parents[2] / "examples"
EVENTS = 300
ITEMS = 7


def send(bootstrap: str, numbers: range) -> Counter[str]:
    """Numbered deliveries, every tenth sent twice by a sender that has no answer; the stock that
    is to come of them."""
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 3})
    stock: Counter[str] = Counter()
    for number in numbers:
        item = f"item {number % ITEMS}"
        stock[item] += number
        for _ in range(2 if number % 10 == 0 else 1):
            producer.produce(
                "deliveries",
                key=item,
                value=str(number),
                headers=[("ce_id", f"event-{number}".encode())],
            )
    assert producer.flush(20) == 0
    return stock


class Program:
    """An example as a process, killed and started again."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.command = [sys.executable, str(EXAMPLES / name), *arguments]

    def __enter__(self) -> "Program":
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, errors.decode()


def committed(bootstrap: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "stock"})
    try:
        (place,) = consumer.committed([TopicPartition("deliveries", 0)], 10)
        return max(0, place.offset)
    finally:
        consumer.close()


def check(
    name: str, broker: Any, database: str, count: Callable[[], int], until: Any
) -> Counter[str]:
    """Run it, kill it amid its work, run it again to the end; the stock that should be there."""
    broker.create_topic("deliveries")
    stock = send(broker.bootstrap, range(EVENTS))
    with Program(name, broker.bootstrap, database):
        until(lambda: count() >= EVENTS // 3, "a third of the events")
    assert committed(broker.bootstrap) < count()  # the rest of them comes again
    stock += send(broker.bootstrap, range(EVENTS, 2 * EVENTS))
    with Program(name, broker.bootstrap, database) as program:
        until(lambda: count() == 2 * EVENTS, "all events", 30)
        program.stop()
    return stock


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    """One whose groups see quickly that a member is dead."""
    quick = {
        "group.consumer.session.timeout.ms": "1000",
        "group.consumer.heartbeat.interval.ms": "200",
    }
    with running_broker(broker=quick) as running:
        yield running


def test_sqlite(broker, tmp_path, until):
    path = tmp_path / "stock.db"

    def ask(query: str) -> list[Any]:
        database = sqlite3.connect(path, timeout=10)
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError:  # it has not made its tables yet
            return [(0,)]
        finally:
            database.close()

    stock = check(
        "idempotent_consumer_sqlite.py",
        broker,
        str(path),
        lambda: ask("SELECT count(*) FROM handled")[0][0],
        until,
    )
    assert dict(ask("SELECT item, pieces FROM stock")) == stock


def test_postgresql(broker, postgresql, until):
    import psycopg

    with psycopg.connect(postgresql, autocommit=True) as database:

        def count() -> int:
            try:
                row = database.execute("SELECT count(*) FROM handled").fetchone()
            except psycopg.errors.UndefinedTable:
                return 0
            return row[0] if row else 0

        stock = check("idempotent_consumer_postgresql.py", broker, postgresql, count, until)
        assert dict(database.execute("SELECT item, pieces FROM stock").fetchall()) == stock
