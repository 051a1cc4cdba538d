"""`python -m proof.bank.teller {options}`: one teller, until SIGTERM.

Its journal (see `proof.journal`) has, beside `started`, `failed` and `stopped`:

    asked      attempt   everything is written; the commit is asked for after this line
    committed  attempt   the commit was answered
    aborted    attempt   the transaction was aborted: by the teller itself, or because it had to be
"""

import json
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Message, TopicPartition

from headrace.exactly_once import ExactlyOnce, ExactlyOnceError, Output
from proof.bank.records import ORDERS, Account, Place, decoded, encoded, outputs_of
from proof.bank.vault import read_accounts
from proof.journal import Journal

__all__ = ["Teller", "main"]

QUIT_ONE_IN = 12
"""Attempts, on average: then the teller loses its nerve amid the writing, and the bank must not."""
BATCH_RECORDS_MAX = 40


class Nervous(Exception):
    """Raised by a teller to see its transaction aborted."""


class Teller:
    """Keeps the accounts of its partitions in memory, as of the last commit that it knows of."""

    def __init__(self, name: str, bootstrap: str, journal: Journal, seed: str) -> None:
        self.name = name
        self.attempt = ""
        self._attempts = 0
        self._bootstrap = bootstrap
        self._journal = journal
        self._random = random.Random(seed)
        self._accounts: dict[int, dict[int, Account]] = {}
        self._draft: dict[int, dict[int, Account]] = {}

    def serve(self, records: Sequence[Message]) -> Iterator[Output]:
        """The `Process` of the loop."""
        self._attempts += 1
        self.attempt = f"{self.name}/{self._attempts}"
        written = list(self._written(records))
        stop = len(written) + 1
        if self._random.randrange(QUIT_ONE_IN) == 0:
            stop = self._random.randrange(len(written) + 1)
        for nth, (topic, partition, facts) in enumerate(written):
            if nth == stop:
                raise Nervous
            value = encoded({**facts, "attempt": self.attempt, "of": len(written)})
            yield Output(topic, value, partition=partition)
        if stop == len(written):
            raise Nervous
        self._journal.write(self.name, "asked", attempt=self.attempt)

    def committed(self) -> None:
        for partition, accounts in self._draft.items():
            self._accounts[partition].update(accounts)
        self._journal.write(self.name, "committed", attempt=self.attempt)

    def aborted(self) -> None:
        self._journal.write(self.name, "aborted", attempt=self.attempt)

    def moved(self, places: Sequence[TopicPartition]) -> None:
        """Partitions come or go: what is known of their accounts may be old."""
        for place in places:
            self._accounts.pop(place.partition, None)

    def _written(self, records: Sequence[Message]) -> Iterator[Any]:
        by_partition: dict[int, list[tuple[Place, dict[str, Any]]]] = {}
        for record in records:
            place = Place(ORDERS, int(record.partition() or 0), int(record.offset() or 0))
            order = decoded(record.value() or b"")
            by_partition.setdefault(place.partition, []).append((place, order))
        self._draft = {}
        for partition, orders in by_partition.items():
            if partition not in self._accounts:
                self._accounts[partition] = read_accounts(self._bootstrap, partition)
            known = self._accounts[partition]
            names = {order["account"] for _, order in orders}
            draft = self._draft[partition] = {name: known.get(name, Account()) for name in names}
            yield from outputs_of(orders, draft)


def main() -> int:
    options = json.loads(sys.argv[1])
    journal = Journal(options["journal"])
    name: str = options["name"]
    teller = Teller(name, options["bootstrap"], journal, f"{options['seed']}/{name}")
    loop = ExactlyOnce(
        {
            "bootstrap.servers": options["bootstrap"],
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "client.id": name,
        },
        options["group"],
        [ORDERS],
        transactional_id=options["transactional_id"],
        batch_records_max=BATCH_RECORDS_MAX,
        batch_s_max=0.05,
        stall_s_max=60,
        on_assigned=teller.moved,
        on_revoked=teller.moved,
        consumer=options["consumer"],
        producer={"transaction.timeout.ms": options["transaction_timeout_ms"]},
    )
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    journal.write(name, "started")
    try:
        with loop:
            _work(loop, teller)
    except ExactlyOnceError as error:
        journal.failed(name, "loop", type(error).__name__, error)
        return 1
    journal.write(name, "stopped")
    return 0


def _work(loop: ExactlyOnce, teller: Teller) -> None:
    while not loop.is_stopping:
        before = teller.attempt
        try:
            count = loop.step(teller.serve)
        except Nervous:
            teller.aborted()
            continue
        if count:
            teller.committed()
        elif teller.attempt != before:
            teller.aborted()


if __name__ == "__main__":
    sys.exit(main())
