"""Reads what is committed in the four topics, all the time, and how far the tellers have come."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from proof.bank.judge import Facts, Seen, Standing
from proof.bank.records import ACCOUNTS, ORDERS, PARTITIONS, RECEIPTS, TOPICS, Place, decoded

__all__ = ["Auditor", "read_all"]

ASK_S = 1.0
"""Between two questions for committed offsets."""
ANSWER_S_MAX = 2.0
READ_RECORDS_MAX = 500
READ_S = 0.2
READ_ALL_S_MAX = 60.0
EVERYWHERE = [TopicPartition(t, p, 0) for t in TOPICS for p in range(PARTITIONS)]


class Auditor(threading.Thread):
    """Reads until `finish`, through all restarts of the broker."""

    def __init__(self, bootstrap: str, group: str) -> None:
        super().__init__(name="auditor", daemon=True)
        self.seen: list[Seen] = []
        self.standings: list[Standing] = []
        self.decided: set[int] = set()
        """Transfers of which both sides were seen, or the refusal."""
        self.errors: dict[str, int] = {}
        self._sides: dict[int, set[str]] = {}
        self._servers = bootstrap
        self._group = group
        self._stopping = threading.Event()

    def run(self) -> None:
        consumer = Consumer(_config(self._servers, "read_committed"))
        supervisor = Supervisor(self._servers, self._group)
        consumer.assign(EVERYWHERE)
        asked = read = 0.0
        try:
            while not self._stopping.is_set():
                read += 1
                for message in consumer.consume(READ_RECORDS_MAX, READ_S):
                    self._take(int(read), message)
                if time.monotonic() - asked >= ASK_S:
                    asked = time.monotonic()
                    self.standings += supervisor.ask()
            self.standings += supervisor.ask()
        finally:
            supervisor.close()
            consumer.close()

    def finish(self) -> None:
        self._stopping.set()
        self.join()

    def _take(self, read: int, message: Any) -> None:
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                self.errors[error.name()] = self.errors.get(error.name(), 0) + 1
            return
        place, facts = _record(message)
        self.seen.append(Seen(read, time.monotonic(), place, facts))
        if place.topic == ACCOUNTS:
            sides = self._sides.setdefault(facts["order"], set())
            sides.add(facts["kind"])
            if len(sides) == 2:
                self.decided.add(facts["order"])
        elif place.topic == RECEIPTS and facts["result"] == "refused":
            self.decided.add(facts["order"])


class Supervisor:
    """Asks how far the tellers have come. Stable offsets only, as of no open transaction.

    As a consumer of their group that never joins it: librdkafka's admin client ends the process
    (2.16, an assertion) if the coordinator goes away at the wrong moment.
    """

    def __init__(self, servers: str, group: str) -> None:
        self._consumer = Consumer({**_config(servers, "read_committed"), "group.id": group})

    def ask(self) -> list[Standing]:
        """Nothing while no broker answers."""
        places = [TopicPartition(ORDERS, partition) for partition in range(PARTITIONS)]
        try:
            places = self._consumer.committed(places, ANSWER_S_MAX)
        except KafkaException:
            return []
        now = time.monotonic()
        return [
            Standing(now, place.partition, place.offset)
            for place in places
            if place.error is None and place.offset >= 0
        ]

    def close(self) -> None:
        self._consumer.close()


def read_all(bootstrap: str, isolation: str) -> Mapping[Place, Facts]:
    """Everything that stands in the four topics, by a consumer of its own. Raises TimeoutError."""
    consumer = Consumer(_config(bootstrap, isolation))
    consumer.assign(EVERYWHERE)
    found: dict[Place, Facts] = {}
    ended: set[tuple[str, int]] = set()
    deadline = time.monotonic() + READ_ALL_S_MAX
    try:
        while len(ended) < len(EVERYWHERE):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(ended)} of {len(EVERYWHERE)} partitions read to the end")
            for message in consumer.consume(READ_RECORDS_MAX, READ_S):
                error = message.error()
                if error is None:
                    place, facts = _record(message)
                    found[place] = facts
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add((str(message.topic()), int(message.partition() or 0)))
    finally:
        consumer.close()
    return found


def _record(message: Any) -> tuple[Place, Facts]:
    place = Place(message.topic(), message.partition(), message.offset())
    return place, decoded(message.value())


def _config(bootstrap: str, isolation: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap,
        "group.id": "bank-auditor",
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": isolation,
        "check.crcs": True,
        "fetch.wait.max.ms": 100,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        "log_level": 0,
    }
