"""Read, process and write in transactions: `headrace.exactly_once` copies one topic to another."""

import threading
from collections.abc import Iterator, Sequence

from confluent_kafka import Message

from headrace.exactly_once import ExactlyOnce, Output
from proof.appends.lists import PRODUCER_ENDS
from proof.chaos.producers import CLIENT
from proof.chaos.topics import MOVED, PLAIN

__all__ = ["Movers"]

STALL_S_MAX = 30.0
TRANSACTION_MS = 10_000
SESSION_MS = 6_000


class Movers:
    """Each has a transactional id of its own and begins anew when its loop cannot go on."""

    GROUP = "movers"

    def __init__(self, bootstrap: str, count: int) -> None:
        self._bootstrap = bootstrap
        self.failures: list[str] = []
        self.begun_anew = 0
        self.stopping = threading.Event()
        self._loops: dict[int, ExactlyOnce] = {}
        self.threads = [
            threading.Thread(target=self._run, args=(number,), name=f"mover-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for loop in list(self._loops.values()):
            loop.stop()

    def _run(self, number: int) -> None:
        while not self.stopping.is_set():
            loop = self._loops[number] = self._new_loop(number)
            try:
                with loop:
                    if not self.stopping.is_set():
                        loop.run(_copies)
            except PRODUCER_ENDS:
                self.begun_anew += 1
            except Exception as error:  # noqa: BLE001 - told in the report
                self.failures.append(f"mover {number}: {type(error).__name__}: {error}")
                self.stopping.wait(1)

    def _new_loop(self, number: int) -> ExactlyOnce:
        return ExactlyOnce(
            {"bootstrap.servers": self._bootstrap, "client.id": f"mover-{number}", **CLIENT},
            self.GROUP,
            [PLAIN],
            transactional_id=f"mover-{number}",
            batch_s_max=0.1,
            stall_s_max=STALL_S_MAX,
            consumer={"session.timeout.ms": SESSION_MS, "auto.offset.reset": "earliest"},
            producer={"transaction.timeout.ms": TRANSACTION_MS},
        )


def _copies(records: Sequence[Message]) -> Iterator[Output]:
    for record in records:
        yield Output(MOVED, record.value(), partition=record.partition())
