"""Share groups with librdkafka's share consumer: nothing lost, everything dealt with."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from confluent_kafka import AcknowledgeType, Producer, ShareConsumer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

LIMIT = 3


def configure(broker, group="g", **values):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in values.items()
    ]
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(10)


def prepare(broker):
    """Topic `t` of one partition, which group `g` reads from the beginning."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic("t", 1)])["t"].result(10)
    configure(
        broker,
        **{"share.auto.offset.reset": "earliest", "share.delivery.count.limit": str(LIMIT)},
    )
    return broker


def write(broker, first, last):
    # Batches of some records, so that members do share.
    producer = Producer({"bootstrap.servers": broker.bootstrap, "batch.num.messages": 50})
    for number in range(first, last):
        producer.produce("t", b"%d" % number)
        if number % 50 == 49:
            producer.poll(0)
    assert producer.flush(20) == 0


class Sharer:
    """A share consumer in a thread of its own. `decide(message)` says how to acknowledge; None:
    implicitly, all are accepted."""

    def __init__(self, broker, decide=None, group="g"):
        mode = {} if decide is None else {"share.acknowledgement.mode": "explicit"}
        self.consumer = ShareConsumer(
            {"bootstrap.servers": broker.bootstrap, "group.id": group, "log_level": 2, **mode}
        )
        self.decide = decide
        self.seen = []
        """(value, what was said of it) in the order of delivery."""
        self.accepted = set()
        """Offsets of which the broker said so."""
        self.failures = []
        self.consumer.set_acknowledgement_commit_callback(self._told)
        self.consumer.subscribe(["t"])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _told(self, offsets, exception):
        if exception is not None:
            self.failures.append(exception)
            return
        for told in offsets.values():
            self.accepted |= told

    def _work(self):
        while not self._stopping.is_set():
            for message in self.consumer.poll(0.05):
                assert message.error() is None, message.error()
                said = AcknowledgeType.ACCEPT if self.decide is None else self.decide(message)
                if self.decide is not None:
                    self.consumer.acknowledge(message, said)
                self.seen.append((int(message.value()), said))
        self.consumer.close()

    def values(self):
        return [value for value, _ in self.seen]

    def stop(self):
        self._stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def sharing():
    started = []

    def start(*args, **options):
        started.append(Sharer(*args, **options))
        return started[-1]

    yield start
    for sharer in started:
        sharer.stop()


@pytest.mark.parametrize("is_explicit", [False, True], ids=["implicit", "explicit"])
def test_two_consumers_share_one_partition_without_loss(broker, sharing, until, is_explicit):
    prepare(broker)
    decide = (lambda _: AcknowledgeType.ACCEPT) if is_explicit else None
    sharers = [sharing(broker, decide) for _ in range(2)]
    members = lambda: broker.node.broker.groups.describe_share("g")  # noqa: E731
    until(lambda: members() and len(members().members) == 2, "both joining")
    write(broker, 0, 10_000)
    until(lambda: sum(len(one.seen) for one in sharers) >= 10_000, "reading")
    assert all(one.seen for one in sharers), [len(one.seen) for one in sharers]
    assert sorted(sharers[0].values() + sharers[1].values()) == list(range(10_000))
    for one in sharers:
        one.stop()
        assert not one.failures
    (shared,) = broker.node.broker.share.of_group("g")
    assert (shared.automaton.start_offset, shared.redelivered) == (10_000, 0)


HOARDER = """
import sys, time
from confluent_kafka import ShareConsumer
consumer = ShareConsumer({"bootstrap.servers": sys.argv[1], "group.id": "g"})
consumer.subscribe(["t"])
while not (found := consumer.poll(1.0)):
    pass
print(len(found), flush=True)
time.sleep(60)
"""


def test_records_of_a_killed_consumer_come_to_another_at_once(broker, sharing, until):
    prepare(broker)
    write(broker, 0, 100)
    hoarder = subprocess.Popen(
        [sys.executable, "-c", HOARDER, broker.bootstrap], stdout=subprocess.PIPE
    )
    try:
        assert hoarder.stdout is not None
        assert int(hoarder.stdout.readline()) == 100
        other = sharing(broker)
        members = lambda: broker.node.broker.groups.describe_share("g").members  # noqa: E731
        until(lambda: len(members()) == 2, "the other joining")
        assert not other.seen
        os.kill(hoarder.pid, signal.SIGKILL)
        began = time.monotonic()
        until(lambda: len(other.seen) == 100, "the records coming back")
        took_s = time.monotonic() - began
    finally:
        hoarder.kill()
        hoarder.wait()
        hoarder.stdout.close()
    assert took_s < 5, "the lock lasts 30 s, the session 45"
    assert other.values() == list(range(100))


def test_released_records_go_to_others_and_rejected_ones_to_nobody(broker, sharing, until):
    prepare(broker)
    choices = {0: AcknowledgeType.REJECT, 1: AcknowledgeType.RELEASE, 2: AcknowledgeType.ACCEPT}
    picky = sharing(broker, lambda message: choices[int(message.value()) % 3])
    write(broker, 0, 30)
    until(lambda: len(picky.seen) == 30 + 10 * (LIMIT - 1), "all deliveries")
    (shared,) = broker.node.broker.share.of_group("g")
    until(lambda: shared.automaton.start_offset == 30, "everything dealt with")
    assert sorted(picky.values()) == sorted([*range(30), *range(1, 30, 3), *range(1, 30, 3)])
    assert shared.redelivered == 20
    # One that always releases, one that accepts: nothing is given up before both had a chance.
    write(broker, 30, 60)
    sharing(broker)
    until(lambda: shared.automaton.start_offset == 60, "the rest dealt with")
    assert not picky.failures


def test_accepted_records_stay_accepted_when_the_broker_is_killed(broker_process, sharing, until):
    broker = prepare(broker_process())
    write(broker, 0, 2000)
    first = sharing(broker, lambda _: AcknowledgeType.ACCEPT)
    until(lambda: len(first.accepted) >= 500, "accepting")
    broker.kill()
    kept = set(first.accepted)
    broker.start()
    write(broker, 2000, 2500)
    second = sharing(broker, lambda _: AcknowledgeType.ACCEPT)
    everything = set(range(2500))
    until(lambda: set(first.values()) | set(second.values()) >= everything, "reading", 40.0)
    first.stop()
    second.stop()
    times = Counter(first.values() + second.values())
    assert not [value for value in kept if times[value] > 1], "accepted before the kill"
    # What was accepted while the broker died counts as well, though nobody could be told.
    catalog = f"file:{broker.data}/catalog.db?mode=ro"
    with contextlib.closing(sqlite3.connect(catalog, uri=True)) as db:
        rows = db.execute("SELECT group_id, start_offset, runs FROM share_partitions").fetchall()
    assert rows == [("g", 2500, "[]")]
