"""Keyed numbers, written at a steady pace by one idempotent producer that never gives up."""

import threading
import time
from collections import defaultdict

from confluent_kafka import KafkaError, Message, Producer

from proof.judge import Written

__all__ = ["KEYS", "Writer"]

KEYS = 997
FLUSH_S_MAX = 60
ROUNDS_PER_S = 50


class Writer:
    """Number n has the key n % KEYS. `write` may be called again and goes on where it stopped."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self.sent = 0
        self.failures: list[str] = []
        self._places: defaultdict[int, dict[int, Written]] = defaultdict(dict)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # two outcomes only: written, or still on its way
                "queue.buffering.max.messages": 1_000_000,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "linger.ms": 5,
                "log_level": 0,
            }
        )

    def write(self, count: int, seconds: float, stopping: threading.Event | None = None) -> None:
        """`count` records, evenly over `seconds`; sooner if `stopping` is set."""
        first, start = self.sent, time.monotonic()
        while self.sent < first + count:
            passed = time.monotonic() - start
            due = first + (count if passed >= seconds else int(count * passed / seconds))
            if stopping is not None and stopping.is_set():
                due = first + count
            while self.sent < due:
                key = b"k%d" % (self.sent % KEYS)
                self._producer.produce(
                    self.topic, b"%d" % self.sent, key, on_delivery=self._delivered
                )
                self.sent += 1
            self._producer.poll(1 / ROUNDS_PER_S)

    def finish(self) -> dict[int, list[Written]]:
        """Wait for all acknowledgements; the log by partition, in the order of offsets."""
        if self._producer.flush(FLUSH_S_MAX):
            self.failures.append(f"{len(self._producer)} records were never acknowledged")
        log: dict[int, list[Written]] = {}
        for partition, places in self._places.items():
            if len(places) != max(places) + 1:
                self.failures.append(f"partition {partition} has holes between acknowledgements")
            log[partition] = [places[offset] for offset in sorted(places)]
        return log

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failures.append(str(error))
            return
        value = Written(int(message.value()), time.monotonic())
        known = self._places[message.partition()].setdefault(message.offset(), value)
        if known is not value:
            self.failures.append(
                f"offset {message.offset()} of partition {message.partition()} acknowledged for "
                f"number {known.value} and for number {value.value}"
            )
