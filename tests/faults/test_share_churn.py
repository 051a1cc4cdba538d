"""Members of a share group that die, leave, accept, release and reject at random, over sockets.

What a member is given nobody else has, what was accepted or rejected never comes again, and in the
end everything was one or the other.
"""

import random
import threading
import time
from collections import Counter
from typing import Any

from headrace.testing import RunningBroker, running_broker
from headrace.testing.raw_client import RawClient, batch
from headrace.testing.share_member import Range, ShareMember
from headrace.wire.messages.k78_share_fetch import AcknowledgeType

PARTITIONS = 2
MEMBERS = 5
CHURN_S = 3.0
LIMITS = {"group.share.max.size": "1000", "group.share.delivery.count.limit": "10"}
FINAL = (AcknowledgeType.ACCEPT, AcknowledgeType.REJECT)

Record = tuple[int, int]
"""Partition and offset."""


class Ledger:
    """Who holds what, as the members saw it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders: dict[Record, object] = {}
        self.finished: set[Record] = set()
        self.wrong: list[Any] = []
        self.events: Counter[str] = Counter()
        self.stopping = threading.Event()

    @property
    def has_seen(self) -> bool:
        """Whether enough has happened for the rest to mean something."""
        return min(self.events["again"], self.events["end"]) > 10

    def given(self, member: object, partition: int, first: int, last: int) -> None:
        with self.lock:
            for offset in range(first, last + 1):
                record = partition, offset
                if record in self.holders or record in self.finished:
                    self.wrong.append(record)
                self.holders[record] = member

    def acknowledging(self, partition: int, said: list[Range]) -> None:
        """Before the broker is told: it may be given to others before we hear so."""
        with self.lock:
            for first, _, types in said:
                for offset, type_ in enumerate(types, start=first):
                    del self.holders[partition, offset]
                    if type_ in FINAL:
                        self.finished.add((partition, offset))

    def gone(self, member: object) -> None:
        with self.lock:
            for record in [record for record, who in self.holders.items() if who is member]:
                del self.holders[record]


def live(broker: RunningBroker, ledger: Ledger, seed: int) -> None:
    chance = random.Random(seed)
    while not ledger.stopping.is_set():
        member = join(broker)
        pending: dict[int, list[Range]] = {partition: [] for partition in range(PARTITIONS)}
        for _ in range(chance.randrange(1, 40)):
            partition = chance.randrange(PARTITIONS)
            said, pending[partition] = sorted(pending[partition]), []
            ledger.acknowledging(partition, said)
            answer = member.ask(
                *said,
                partition=partition,
                max_wait_ms=chance.choice([0, 20]),
                max_records=chance.choice([1, 10, 100]),
                share_acquire_mode=chance.randrange(2),
            )
            if answer.error_code:
                ledger.wrong.append(answer.error_code)
            for told in (part for topic in answer.responses for part in topic.partitions):
                if told.error_code or told.acknowledge_error_code:
                    ledger.wrong.append(told)
                for run in told.acquired_records:
                    first, last = run.first_offset, run.last_offset
                    ledger.given(member, told.partition_index, first, last)
                    ledger.events["again" if run.delivery_count > 1 else "new"] += 1
                    types = chance.choices([1, 2, 3], [90, 8, 2], k=last - first + 1)
                    pending[told.partition_index].append((first, last, types))
        ledger.gone(member)
        if chance.random() < 0.3:
            member.acknowledge(epoch=-1)
        ledger.events["end"] += 1
        member.die()


def join(broker: RunningBroker) -> ShareMember:
    """A member that has opened its session on all partitions."""
    topic_id = broker.node.broker.topics.get("t").id
    member = ShareMember(broker.host, broker.port, topic_id)
    for partition in range(PARTITIONS):
        member.ask(partition=partition, max_records=0)
    return member


def test_nothing_is_held_twice_or_finished_twice_or_lost() -> None:
    with running_broker(broker=LIMITS) as broker:
        broker.create_topic("t", PARTITIONS)
        ledger = Ledger()
        join(broker).die()
        living = [
            threading.Thread(target=live, args=(broker, ledger, seed)) for seed in range(MEMBERS)
        ]
        for thread in living:
            thread.start()
        written = 0
        until = time.monotonic() + CHURN_S
        with RawClient(broker.host, broker.port) as client:
            # On a busy machine members take longer to have lived and died often enough.
            while (now := time.monotonic()) < until or (now < until + 20 and not ledger.has_seen):
                size = random.choice([1, 5, 50])
                client.produce("t", written % PARTITIONS, batch([b"v"] * size))
                written += size
                ledger.stopping.wait(0.001)
        ledger.stopping.set()
        for thread in living:
            thread.join(20)
        assert not ledger.wrong
        assert ledger.has_seen, ledger.events
        finish(broker, ledger, written)


def finish(broker: RunningBroker, ledger: Ledger, written: int) -> None:
    """One more member has what is left, but for what came back too often."""
    member = join(broker)
    idle = 0
    while idle < 2 * PARTITIONS:
        idle += 1
        for told in (part for topic in member.ask().responses for part in topic.partitions):
            partition = told.partition_index
            for run in told.acquired_records:
                idle = 0
                ledger.given(member, partition, run.first_offset, run.last_offset)
                types = [1] * (run.last_offset - run.first_offset + 1)
                said = (run.first_offset, run.last_offset, types)
                ledger.acknowledging(partition, [said])
                assert member.acknowledge(said, partition=partition) == 0
    member.die()
    assert not ledger.wrong
    shared = list(broker.node.broker.share.all())
    assert sum(one.automaton.start_offset for one in shared) == written
    assert written * 0.9 < len(ledger.finished) <= written
