"""The producer of one origin airport: sends its events in event-time order, acks=all, idempotent.

Says `ready` with the number of its events, then `progress` a few times a second, then `done` when
every event is acknowledged or given up, and leaves its ledger in a file.
"""

import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from confluent_kafka import KafkaError, Message, Producer

from headrace.cli.demo.events import Event, EventStream
from headrace.cli.demo.flights_file import load
from headrace.cli.demo.ledger import AckLedger, fingerprint
from headrace.cli.demo.worker import PARTITIONS, TOPIC, Line, client_settings, main

__all__ = ["Sending", "work"]

_QUEUE_EVENTS_MAX: Final = 20_000
_QUEUE_EVENTS_MAX_PACED: Final = 200
_POLL_EVERY_EVENTS: Final = 100
_PROGRESS_INTERVAL_S: Final = 0.2


class Sending:
    """One pass over the events, with the ledger that is filled by the acknowledgements."""

    def __init__(self, stream: EventStream, producer: Producer, line: Line) -> None:
        self.ledger = AckLedger(stream.origin, len(stream))
        self.sent = 0
        self.failed = 0
        self._ends = [0] * PARTITIONS
        self._failure = ""
        self._stream = stream
        self._producer = producer
        self._line = line
        self._next_progress_s = 0.0

    def run(self, events_per_s_max: float | None) -> None:
        """Send everything and wait for the last answer; the client's own deadline bounds it."""
        due_s = time.monotonic()
        for event in self._stream:
            self._send(event)
            if events_per_s_max is not None:
                # No hurry after a stop: time lost to a dead broker is not caught up.
                due_s = max(due_s, time.monotonic()) + 1 / events_per_s_max
                self._wait_until(due_s)
            elif event.sequence % _POLL_EVERY_EVENTS == 0:
                self._producer.poll(0)
            self._report()
        while self.ledger.acknowledged + self.failed < len(self._stream):
            self._producer.poll(_PROGRESS_INTERVAL_S)
            self._report()
        self._report(now=True)

    @property
    def failure(self) -> str:
        """Why the first event was given up, if one was."""
        return self._failure

    def _send(self, event: Event) -> None:
        mark = fingerprint(event.key, event.value, event.time_ms)
        self.ledger.sent(event.sequence, mark)
        while True:
            try:
                self._producer.produce(
                    TOPIC,
                    value=event.value,
                    key=event.key,
                    timestamp=event.time_ms,
                    headers=event.headers,
                    on_delivery=partial(self._delivered, event.sequence),
                )
            except BufferError:
                # The queue is full, perhaps because the broker is gone: wait for answers.
                self._producer.poll(_PROGRESS_INTERVAL_S)
                self._report()
                continue
            self.sent += 1
            return

    def _delivered(self, sequence: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed += 1
            self._failure = self._failure or f"event {sequence}: {error}"
            return
        partition, offset = cast("int", message.partition()), cast("int", message.offset())
        self.ledger.acknowledge(sequence, partition, offset)
        if offset >= self._ends[partition]:
            self._ends[partition] = offset + 1

    def _wait_until(self, due_s: float) -> None:
        while (left_s := due_s - time.monotonic()) > 0:
            self._producer.poll(left_s)
            self._report()
        self._producer.poll(0)

    def _report(self, *, now: bool = False) -> None:
        clock_s = time.monotonic()
        if now or clock_s >= self._next_progress_s:
            self._next_progress_s = clock_s + _PROGRESS_INTERVAL_S
            acknowledged = self.ledger.acknowledged
            self._line.say("progress", sent=self.sent, acked=acknowledged, ends=self._ends)


def work(line: Line, options: Mapping[str, Any]) -> None:
    """Own options: origin, limit, events_per_s_max, ledger (a path)."""
    stream = EventStream(load(), options["origin"], options["limit"])
    pace = options["events_per_s_max"]
    producer = Producer(
        {
            **client_settings(options["bootstrap"], options["client_id"]),
            "enable.idempotence": True,
            "acks": "all",
            # Retries are not counted, only timed: an event is given up at the demo's deadline.
            "message.timeout.ms": int(options["deadline_s"] * 1000),
            "retry.backoff.ms": 20,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": (
                _QUEUE_EVENTS_MAX if pace is None else _QUEUE_EVENTS_MAX_PACED
            ),
            # The same partition for a key that Java's client would choose.
            "partitioner": "murmur2_random",
        }
    )
    line.say("ready", events=len(stream))
    line.wait_for_go()
    sending = Sending(stream, producer, line)
    first_s = time.monotonic()
    sending.run(pace)
    sending.ledger.write(Path(options["ledger"]))
    line.say(
        "done",
        first_s=first_s,
        last_s=time.monotonic(),
        failed=sending.failed,
        failure=sending.failure,
    )


if __name__ == "__main__":
    sys.exit(main(work))
