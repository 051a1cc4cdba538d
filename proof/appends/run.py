"""The run: writers append and abort, readers read, the broker is killed; then all is compared."""

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.exactly_once.errors import Abortable
from headrace.exactly_once.output import Output
from headrace.exactly_once.transaction import Transactions
from proof.appends.judge import Append, Evidence, Reading, judge
from proof.attempts import Attempt
from proof.broker import ExternalBroker, HeadraceBroker

__all__ = ["Plan", "Report", "run"]

TOPIC = "appends"
PARTITIONS = 3
APPENDS_MAX = 8
"""In a transaction."""
ABORT_ONE_IN = 5
READ_AGAIN_S = 1.5
"""How long a reader follows before it begins anew."""
STALL_S_MAX = 60.0
READ_ALL_S_MAX = 30.0
ADMIN_S = 10
RECONNECT = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 500, "log_level": 0}


@dataclass(frozen=True)
class Plan:
    seconds: float
    seed: int
    writers: int = 3
    readers: int = 2
    kills: int = 2


@dataclass
class Report:
    acknowledged: int = 0
    aborted: int = 0
    readings: int = 0
    kills: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class _Run:
    """What the threads share. Each appends to lists and dicts of its own names only."""

    servers: str
    seed: int
    stopping: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[tuple[int, Append]] = field(default_factory=list)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def start(self, work: Callable[[str], None], name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                work(name)
            except Exception as error:  # noqa: BLE001 - told in the report
                self.failures.append(f"{name}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def transact(self, name: str) -> None:
        """Append in transactions, some of which are aborted, one after the other."""
        chance = random.Random(f"{self.seed}/{name}")
        transactions = Transactions(
            lambda on_delivery: Producer(
                {
                    "bootstrap.servers": self.servers,
                    "transactional.id": name,
                    "transaction.timeout.ms": 15_000,
                    "on_delivery": on_delivery,
                    **RECONNECT,
                }
            ),
            STALL_S_MAX,
        )
        number = tries = 0
        while not self.stopping.is_set():
            tries += 1
            count = chance.randint(1, APPENDS_MAX)
            attempt = f"{name}/{tries}"
            noted = self.attempts[attempt] = Attempt()
            values = []
            for nth in range(count):
                value = Append(name, number + nth, attempt, count)
                values.append((chance.randrange(PARTITIONS), value))
            number += count
            transactions.begin()
            try:
                for partition, value in values:
                    transactions.write(Output(TOPIC, json.dumps(value), partition=partition))
                if chance.randrange(ABORT_ONE_IN) == 0:
                    transactions.abort()
                    noted.outcome = "aborted"
                    continue
                noted.asked = time.monotonic()
                transactions.commit()
            except Abortable:
                transactions.abort()
                noted.outcome = "aborted"
            else:
                noted.outcome = "committed"
                self.acknowledged += values

    def append(self, name: str) -> None:
        """Append without transactions, to partitions in which others have open ones."""
        chance = random.Random(f"{self.seed}/{name}")

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failures.append(f"{name}: {error}")
                return
            value = Append(*json.loads(message.value() or b""))
            self.acknowledged.append((int(message.partition() or 0), value))

        settings = {"bootstrap.servers": self.servers, "enable.idempotence": True, **RECONNECT}
        producer = Producer({**settings, "message.timeout.ms": 0})
        number = 0
        while not self.stopping.is_set():
            partition = chance.randrange(PARTITIONS)
            value = json.dumps(Append(name, number))
            producer.produce(TOPIC, value, partition=partition, on_delivery=delivered)
            number += 1
            producer.poll(0.01)
        if producer.flush(STALL_S_MAX):
            self.failures.append(f"{name}: not everything was acknowledged")

    def read(self, name: str) -> None:
        """From the beginning, for a while, and again."""
        times = 0
        while not self.stopping.is_set():
            times += 1
            until = time.monotonic() + READ_AGAIN_S
            self.readings += self._read(
                f"{name}.{times}",
                lambda ended, until=until: time.monotonic() > until or self.stopping.is_set(),
            )

    def final(self) -> dict[int, list[Append]]:
        """Raises TimeoutError."""
        deadline = time.monotonic() + READ_ALL_S_MAX

        def is_done(ended: int) -> bool:
            if time.monotonic() > deadline:
                raise TimeoutError("the lists could not be read to their ends")
            return ended == PARTITIONS

        readings = self._read("final", is_done)
        return {one.partition: [value for _, value in one.values] for one in readings}

    def _read(self, name: str, is_done: Callable[[int], bool]) -> list[Reading]:
        found: dict[int, list[tuple[float, Append]]] = {p: [] for p in range(PARTITIONS)}
        ended: set[int] = set()
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "appends",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                **RECONNECT,
            }
        )
        try:
            consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
            while not is_done(len(ended)):
                for message in consumer.consume(500, 0.1):
                    partition = int(message.partition() or 0)
                    if message.error() is None:
                        value = Append(*json.loads(message.value()))
                        found[partition].append((time.monotonic(), value))
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(partition)
        finally:
            consumer.close()
        return [Reading(name, partition, values) for partition, values in found.items()]


def run(plan: Plan, broker: HeadraceBroker | ExternalBroker) -> Report:
    """Raises RuntimeError when the run itself breaks; what the broker does wrong is reported."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(ADMIN_S)
    running = _Run(broker.bootstrap, plan.seed)
    threads: list[Any] = [
        *(running.start(running.transact, f"writer-{n}") for n in range(plan.writers)),
        running.start(running.append, "plain"),
        *(running.start(running.read, f"reader-{n}") for n in range(plan.readers)),
    ]
    chance = random.Random(f"{plan.seed}/kills")
    try:
        for _ in range(plan.kills):
            time.sleep(plan.seconds / (plan.kills + 1) * chance.uniform(0.6, 1.1))
            broker.crash()
        time.sleep(plan.seconds / (plan.kills + 1))
    finally:
        running.stopping.set()
    for thread in threads:
        thread.join(STALL_S_MAX)
        if thread.is_alive():
            running.failures.append(f"{thread.name} does not end")
    evidence = Evidence(running.final(), running.acknowledged, running.attempts, running.readings)
    return Report(
        len(running.acknowledged),
        sum(one.outcome == "aborted" for one in running.attempts.values()),
        len(running.readings),
        len(broker.outages),
        running.failures + judge(evidence),
    )
