"""Measures how long an acknowledgement takes while the flights are being written.

The airports' producers work at full speed: the time from produce() to their acknowledgements is
mostly time in their own queues. So a separate, idle client writes one small event every 20 ms to a
topic of its own on the same broker, acks=all, without lingering, whatever is still unanswered, and
notes when each was handed over and when its acknowledgement was seen. Clock: time.monotonic, which
all processes of a machine share.
"""

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from headrace.cli.demo.worker import PROBE_TOPIC, Line, client_settings, main

__all__ = ["work"]

_INTERVAL_S: Final = 0.02
_QUEUE_EVENTS_MAX: Final = 1000
_PROGRESS_INTERVAL_S: Final = 0.2
_VALUE: Final = b"x" * 150


def work(line: Line, options: Mapping[str, Any]) -> None:
    """Says `samples`: [handed over, acknowledged] in seconds; `done` after stop. No own options."""
    producer = Producer(
        {
            **client_settings(options["bootstrap"], options["client_id"]),
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": int(options["deadline_s"] * 1000),
            "retry.backoff.ms": 20,
            "linger.ms": 0,
            "queue.buffering.max.messages": _QUEUE_EVENTS_MAX,
        }
    )
    samples: list[tuple[float, float]] = []

    def acknowledged(sent_s: float, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            samples.append((sent_s, time.monotonic()))

    # The first event finds the leader and the producer id; it is not what is measured.
    producer.produce(PROBE_TOPIC, _VALUE)
    if producer.flush(options["deadline_s"]):
        raise TimeoutError("the first event was not acknowledged")
    line.say("ready")
    line.wait_for_go()
    due_s = next_report_s = time.monotonic()
    while not line.stopped:
        now_s = time.monotonic()
        if now_s >= due_s and len(producer) < _QUEUE_EVENTS_MAX:
            producer.produce(PROBE_TOPIC, _VALUE, on_delivery=partial(acknowledged, now_s))
            due_s = max(due_s + _INTERVAL_S, now_s)
        if now_s >= next_report_s and samples:
            line.say("samples", samples=samples)
            samples.clear()
            next_report_s = now_s + _PROGRESS_INTERVAL_S
        producer.poll(max(0.001, due_s - time.monotonic()))
    producer.flush(options["deadline_s"])
    line.say("samples", samples=samples)
    line.say("done")


if __name__ == "__main__":
    sys.exit(main(work))
