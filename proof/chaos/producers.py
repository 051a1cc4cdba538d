"""Idempotent producers of librdkafka, each in a thread; what is acknowledged is recorded."""

import logging
import random
import threading
import time

from confluent_kafka import KafkaError, Message, Producer

from headrace.testing.history import History, Place
from proof.chaos.topics import PARTITIONS, PLAIN, sent_of, value_of

__all__ = ["CLIENT", "Producers"]

QUIET = logging.Logger("librdkafka", logging.CRITICAL + 1)
"""Producers that are fenced say so on standard error, and here that is all in a day's work."""
CLIENT = {
    "logger": QUIET,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 500,
    "socket.timeout.ms": 5000,
    "log_level": 0,
}
COMPRESSIONS = ("none", "lz4", "zstd")
UNDER_WAY_MAX = 2000
BURST_MAX = 8
PADDING_BYTES_MAX = 3000
KEYS = 40
PAUSE_S = (0.005, 0.06)
FLUSH_S_MAX = 60


class Producers:
    """`history` is whole when all have stopped. They never give up: a send that has no answer in
    the end is a failure."""

    def __init__(self, bootstrap: str, seed: str, count: int, history: History) -> None:
        self._bootstrap = bootstrap
        self._seed = seed
        self._history = history
        self.failures: list[str] = []
        self.acked_s: dict[Place, float] = {}
        """When it was acknowledged, monotonic."""
        self.acked_counts = [0] * count
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(number,), name=f"p{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, number: int) -> None:
        try:
            self._produce(number)
        except Exception as error:  # noqa: BLE001 - told in the report
            self.failures.append(f"producer p{number}: {type(error).__name__}: {error}")

    def _produce(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/p{number}")
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "client.id": f"p{number}",
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # never give up: a send has two outcomes only
                "linger.ms": 2,
                "compression.type": COMPRESSIONS[number % len(COMPRESSIONS)],
                **CLIENT,
            }
        )
        numbers = [0] * PARTITIONS
        while not self.stopping.is_set():
            for _ in range(chance.randint(1, BURST_MAX)):
                if len(producer) >= UNDER_WAY_MAX:
                    break
                key = chance.randrange(KEYS)
                partition = key % PARTITIONS
                value = value_of(number, numbers[partition])
                numbers[partition] += 1
                producer.produce(
                    PLAIN,
                    str(value),
                    str(key),
                    partition,
                    headers=[("x", chance.randbytes(chance.randrange(PADDING_BYTES_MAX)))],
                    on_delivery=self._delivered,
                )
            producer.poll(chance.uniform(*PAUSE_S))
        if producer.flush(FLUSH_S_MAX):
            self.failures.append(f"p{number}: {len(producer)} records were never acknowledged")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        value = int(message.value() or b"-1")
        sent = sent_of(value)
        if error is not None:
            self.failures.append(f"{sent.producer}: number {sent.sequence} failed: {error}")
            return
        place = Place(int(message.partition() or 0), int(message.offset() or 0))
        self._history.acked(*place, *sent)
        self.acked_s[place] = time.monotonic()
        self.acked_counts[int(sent.producer[1:])] += 1
