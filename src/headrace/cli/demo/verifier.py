"""The independent verifier: reads the topic from the beginning and judges it by the ledgers.

A client of its own, without a group, that starts when everything else has stopped. It knows what
the producers were told (their ledgers) and what the data says (the flights file), and looks at
what is there: the log and the boards that the group has saved. Says `done` with the findings.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from headrace.cli.demo.board import Board, expected, merge
from headrace.cli.demo.checker import LogChecker
from headrace.cli.demo.events import EventStream
from headrace.cli.demo.flights_file import load
from headrace.cli.demo.ledger import AckLedger
from headrace.cli.demo.received import receive, record
from headrace.cli.demo.snapshots import SnapshotError, Snapshots
from headrace.cli.demo.worker import TOPIC, Line, client_settings, main

__all__ = ["work"]

_BATCH_EVENTS_MAX: Final = 5000
_CALL_TIMEOUT_S: Final = 5.0
_PROGRESS_INTERVAL_S: Final = 0.2


def work(line: Line, options: Mapping[str, Any]) -> None:
    """Own options: partitions, ledgers (paths), snapshots (a directory)."""
    ledgers = [AckLedger.read(Path(path)) for path in options["ledgers"]]
    checker = LogChecker({ledger.origin: ledger for ledger in ledgers})
    consumer = Consumer(
        {
            **client_settings(options["bootstrap"], options["client_id"]),
            "group.id": "verifier",  # the client wants one; nothing is joined or committed
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 32768,
        }
    )
    deadline = time.monotonic() + options["deadline_s"]
    read_log(consumer, checker, int(options["partitions"]), deadline, line)
    consumer.close()
    findings = checker.findings()
    table = load()
    board = expected(table, [EventStream(table, ledger.origin, ledger.size) for ledger in ledgers])
    kept = _kept_board(Snapshots(Path(options["snapshots"])), findings.ends)
    line.say(
        "done",
        findings=findings.as_dict(),
        board_matches=kept == board,
        carriers={
            name: board.carriers[code] for code, name in table.carriers if code in board.carriers
        },
    )


def read_log(
    consumer: Consumer, checker: LogChecker, partitions: int, deadline: float, line: Line
) -> None:
    """Feed every record that is in the topic now. Raises TimeoutError at the deadline."""
    left: dict[int, int] = {}
    for partition in range(partitions):
        first, end = consumer.get_watermark_offsets(
            TopicPartition(TOPIC, partition), timeout=_CALL_TIMEOUT_S
        )
        if end > first:
            left[partition] = end
    consumer.assign([TopicPartition(TOPIC, p, OFFSET_BEGINNING) for p in left])
    total, count, next_progress_s = sum(left.values()), 0, 0.0
    while left:
        if time.monotonic() > deadline:
            raise TimeoutError(f"read {count} of {total} records, then nothing came any more")
        for message in consumer.consume(_BATCH_EVENTS_MAX, timeout=_PROGRESS_INTERVAL_S):
            if message.error() is not None:
                raise KafkaException(message.error())
            received = receive(message)
            checker.feed(record(received))
            count += 1
            if received.offset + 1 == left[received.partition]:
                del left[received.partition]
        if time.monotonic() >= next_progress_s:
            line.say("progress", verified=count, total=total)
            next_progress_s = time.monotonic() + _PROGRESS_INTERVAL_S


def _kept_board(snapshots: Snapshots, ends: Mapping[int, int]) -> Board | None:
    """The board that the group has saved at the end of every partition; None if one is missing."""
    try:
        return merge(snapshots.load(partition, end) for partition, end in ends.items())
    except SnapshotError:
        return None


if __name__ == "__main__":
    sys.exit(main(work))
