"""Who appends to the lists and who reads them: threads with clients of librdkafka."""

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from headrace.exactly_once.errors import Abortable, ExactlyOnceError
from headrace.exactly_once.output import Output
from headrace.exactly_once.transaction import Transactions
from proof.appends.judge import Append, Evidence, Reading
from proof.attempts import Attempt

__all__ = ["PARTITIONS", "PRODUCER_ENDS", "STALL_S_MAX", "TOPIC", "Lists"]

TOPIC = "appends"
PARTITIONS = 3
APPENDS_MAX = 8
"""In a transaction."""
ABORT_ONE_IN = 5
STALL_S_MAX = 60.0
READ_ALL_S_MAX = 30.0
PRODUCER_ENDS = (ExactlyOnceError, SystemError)
"""The second is confluent-kafka's own, when it reports a delivery amid an error of a call."""
RECONNECT = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 500, "log_level": 0}


@dataclass
class Lists:
    """What the threads share. Each appends to lists and dicts of its own names only.

    With `begins_anew`, a writer whose producer can go on no more begins with another one; what
    became of its last transaction is unknown then. `pause_s` is between transactions."""

    servers: str
    seed: int
    pause_s: float = 0.0
    read_again_s: float = 1.5
    """How long a reader follows before it begins anew."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Settings of every client."""
    begins_anew: bool = False
    begun_anew: int = 0
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
        drafts = _drafts(name, chance)
        while not self.stopping.is_set():
            try:
                self._transact(name, drafts, chance)
            except PRODUCER_ENDS:
                if not self.begins_anew:
                    raise
                self.begun_anew += 1

    def _transact(
        self, name: str, drafts: "Iterator[tuple[str, list[_Value]]]", chance: random.Random
    ) -> None:
        transactions = Transactions(
            lambda on_delivery: Producer(
                {
                    "bootstrap.servers": self.servers,
                    "transactional.id": name,
                    "transaction.timeout.ms": 15_000,
                    "on_delivery": on_delivery,
                    **RECONNECT,
                    **self.more,
                }
            ),
            STALL_S_MAX,
        )
        while not self.stopping.is_set():
            attempt, values = next(drafts)
            noted = self.attempts[attempt] = Attempt()
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
            self.stopping.wait(self.pause_s)

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
        producer = Producer({**settings, **self.more, "message.timeout.ms": 0})
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
            until = time.monotonic() + self.read_again_s
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

    def evidence(self) -> Evidence:
        """When all have ended. Raises TimeoutError."""
        return Evidence(self.final(), self.acknowledged, self.attempts, self.readings)

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
                **self.more,
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


_Value = tuple[int, Append]
"""(partition, what is appended)"""


def _drafts(name: str, chance: random.Random) -> Iterator[tuple[str, list[_Value]]]:
    """Transactions to be tried: their names and what they append."""
    number = 0
    for tries in itertools.count(1):
        count = chance.randint(1, APPENDS_MAX)
        attempt = f"{name}/{tries}"
        yield (
            attempt,
            [
                (chance.randrange(PARTITIONS), Append(name, number + nth, attempt, count))
                for nth in range(count)
            ],
        )
        number += count
