"""Writes orders at a steady pace, by an idempotent producer that never gives up."""

import random
import threading
import time

from confluent_kafka import KafkaError, Message, Producer

from proof.bank.records import ORDERS, Place, decoded, encoded, partition_of

__all__ = ["Clerk"]

FLUSH_S_MAX = 60
ROUNDS_PER_S = 50
AMOUNT_MAX = 400
"""With OPENING in each account some transfers are refused."""


class Clerk(threading.Thread):
    """Writes until `finish`. Seeded: the same orders in the same order."""

    def __init__(self, bootstrap: str, accounts: int, orders_per_s: float, seed: int) -> None:
        super().__init__(name="clerk", daemon=True)
        self.acknowledged: dict[Place, int] = {}
        self.failures: list[str] = []
        self.sent = 0
        self._accounts = accounts
        self._orders_per_s = orders_per_s
        self._random = random.Random(f"{seed}/clerk")
        self._stopping = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,  # two outcomes only: written, or still on its way
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "linger.ms": 5,
                "log_level": 0,
            }
        )

    def run(self) -> None:
        start = time.monotonic()
        while not self._stopping.is_set():
            due = int((time.monotonic() - start) * self._orders_per_s)
            while self.sent < due:
                self._send()
            self._producer.poll(1 / ROUNDS_PER_S)

    def finish(self) -> None:
        """Stop, and wait for all acknowledgements."""
        self._stopping.set()
        self.join()
        if self._producer.flush(FLUSH_S_MAX):
            self.failures.append(f"{len(self._producer)} orders were never acknowledged")
        if len(self.acknowledged) != self.sent:
            self.failures.append(f"{self.sent} orders sent, {len(self.acknowledged)} have a place")

    def _send(self) -> None:
        account, to = self._random.sample(range(self._accounts), 2)
        order = {
            "order": self.sent,
            "kind": "transfer",
            "account": account,
            "to": to,
            "amount": self._random.randint(1, AMOUNT_MAX),
        }
        self._producer.produce(
            ORDERS, encoded(order), partition=partition_of(account), on_delivery=self._delivered
        )
        self.sent += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failures.append(f"an order was not written: {error}")
            return
        place = Place(ORDERS, int(message.partition() or 0), int(message.offset() or 0))
        order = decoded(message.value() or b"")["order"]
        if self.acknowledged.setdefault(place, order) != order:
            self.failures.append(f"{place} was acknowledged for two orders")
