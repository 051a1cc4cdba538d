"""The wall clock of the machine jumps, hours and years, ahead and back, while clients work.

Nothing that waits or expires may notice: sessions, transactions and locks are measured by the
steady clock, and what retention deletes by `broker/retention_clock`, which does not believe a jump
at once.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from headrace.broker import broker as broker_module
from headrace.testing import RunningBroker, running_broker
from headrace.testing.raw_client import RawClient, batch
from headrace.wire.errors import ErrorCode

Until = Callable[..., Any]
Connect = Callable[..., RawClient]

HOUR_S = 3600
YEAR_S = 365 * 24 * HOUR_S
JUMPS_S = (HOUR_S, 10 * YEAR_S, -HOUR_S // 2, -10 * YEAR_S, 5, 0)
"""Of the wall clock, amid a transaction, and back."""
SESSION_S = 6


class Wall:
    """The broker's wall clock."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_s * 1000


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr(broker_module, "wall_clock_ms", made)
    return made


@pytest.fixture
def running(wall: Wall) -> Iterator[RunningBroker]:
    settings = {"log.retention.check.interval.ms": "100", "group.initial.rebalance.delay.ms": "0"}
    with running_broker(broker=settings) as broker:
        yield broker


def test_sessions_transactions_and_retention_do_not_notice(
    wall: Wall, running: RunningBroker, connect: Connect, until: Until
) -> None:
    running.create_topic("t", configs={"retention.ms": "600000", "segment.bytes": "1048576"})
    running.create_topic("stamped", configs={"message.timestamp.type": "LogAppendTime"})
    raw, mover = connect(running), _mover(running)
    for number in range(3):
        assert raw.produce("t", 0, batch([b"kept %d" % number])).base_offset == number
    changes: list[str] = []
    consumer = _member(running, changes)
    with contextlib.closing(consumer):
        until(lambda: consumer.poll(0.1) is not None, "the first record")
        settled = list(changes)
        for number, jump_s in enumerate(JUMPS_S):
            mover.begin_transaction()
            mover.produce("t", b"moved")
            mover.flush(10)
            wall.ahead_s = jump_s
            before_ms = wall()
            answer = raw.produce("stamped", 0, batch([b"v"]))
            assert (answer.error_code, answer.base_offset) == (0, number)
            assert before_ms <= answer.log_append_time_ms <= wall()
            until_s = time.monotonic() + 0.3  # housekeeping looks every 100 ms
            while time.monotonic() < until_s:
                consumer.poll(0.05)
            mover.commit_transaction(10)
            consumer.commit(asynchronous=False)
            wall.ahead_s = 0
        assert changes == settled, "nobody left the group, nobody was thrown out"
    assert raw.read_all("t", 0)[0].value == b"kept 0", "nothing was deleted"
    assert [record.offset for record in raw.read_all("stamped", 0)] == list(range(len(JUMPS_S)))


def _mover(running: RunningBroker) -> Producer:
    mover = Producer(
        {
            "bootstrap.servers": running.bootstrap,
            "transactional.id": "mover",
            "transaction.timeout.ms": 30_000,
            "log_level": 0,
        }
    )
    mover.init_transactions(10)
    return mover


def _member(running: RunningBroker, changes: list[str]) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": running.bootstrap,
            "group.id": "g",
            "auto.offset.reset": "earliest",
            "session.timeout.ms": SESSION_S * 1000,
            "heartbeat.interval.ms": 100,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    consumer.subscribe(
        ["t"],
        on_assign=lambda *_: changes.append("assigned"),
        on_revoke=lambda *_: changes.append("revoked"),
        on_lost=lambda *_: changes.append("lost"),
    )
    return consumer


def test_records_of_the_true_time_are_from_the_future_for_a_clock_that_is_behind(
    wall: Wall, running: RunningBroker, connect: Connect
) -> None:
    """As in Kafka (message.timestamp.after.max.ms, an hour): refused by name, and no more."""
    running.create_topic("t")
    client = connect(running)
    wall.ahead_s = -2 * HOUR_S
    assert client.produce("t", 0, batch([b"v"])).error_code == ErrorCode.INVALID_TIMESTAMP
    wall.ahead_s = 0
    answer = client.produce("t", 0, batch([b"v"]))
    assert (answer.error_code, answer.base_offset) == (0, 0)
