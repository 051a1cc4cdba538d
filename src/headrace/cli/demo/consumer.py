"""One member of the group that keeps the delay board: process, then commit (at least once).

Says `assigned` with its partitions whenever they change, `batch` with the offsets of every batch it
has processed, `committed` with what the group has accepted of it, `board` now and then, and `done`
after stop.
"""

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from headrace.cli.demo.board import Board, merge
from headrace.cli.demo.received import happening, receive
from headrace.cli.demo.snapshots import Snapshots
from headrace.cli.demo.worker import GROUP, TOPIC, Line, client_settings, main

__all__ = ["Keeper", "work"]

_BATCH_EVENTS_MAX: Final = 1000
_POLL_S: Final = 0.1
_COMMIT_INTERVAL_S: Final = 0.5
_BOARD_INTERVAL_S: Final = 1.0
_CALL_TIMEOUT_S: Final = 5.0
_RETRY_S: Final = 0.05
# Kafka's smallest by default: how long a dead consumer keeps its partitions.
_SESSION_TIMEOUT_MS: Final = 6000


class Keeper:
    """The boards of the partitions that this consumer owns at the moment."""

    def __init__(self, consumer: Consumer, snapshots: Snapshots, line: Line, deadline_s: float):
        self._consumer = consumer
        self._snapshots = snapshots
        self._line = line
        self._deadline_s = deadline_s
        self._boards: dict[int, Board] = {}
        self._committed: dict[int, int] = {}

    def process(self, messages: Iterable[Message]) -> None:
        """Put the records on their boards and say so. Raises KafkaException for a fatal error."""
        ranges: dict[int, list[int]] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                _complain(error)
                continue
            received = receive(message)
            partition, offset = received.partition, received.offset
            board = self._boards.get(partition)
            if board is None:
                continue  # taken away while the batch was on its way
            if offset != board.next_offset:
                raise ValueError(f"{partition}/{offset} came after {board.next_offset - 1}")
            board.apply(happening(received))
            board.next_offset = offset + 1
            ranges.setdefault(partition, [offset, offset])[1] = offset + 1
        if ranges:
            self._line.say("batch", ranges=[[p, *ends] for p, ends in ranges.items()])

    def show(self) -> None:
        """Say what the board looks like from here."""
        self._line.say("board", carriers=merge(self._boards.values()).carriers)

    def commit(self) -> None:
        """Save every board that has moved, then commit its offset.

        What cannot be committed now, because the broker is away or the partition has a new owner,
        will be next time, or is delivered again: that is what at-least-once means.
        """
        moved = {
            partition: board.next_offset
            for partition, board in self._boards.items()
            if board.next_offset > self._committed[partition]
        }
        if not moved:
            return
        for partition in moved:
            self._snapshots.save(partition, self._boards[partition])
        offsets = [TopicPartition(TOPIC, p, offset) for p, offset in moved.items()]
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._line.say("refused", message=str(error))
            return
        accepted = [result for result in results if result.error is None]
        for result in accepted:
            self._committed[result.partition] = result.offset
            self._snapshots.forget_before(result.partition, result.offset)
        self._line.say("committed", offsets=[[r.partition, r.offset] for r in accepted])

    def assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group gave us these: go on where the last owner's commit says."""
        for known in self._committed_offsets(partitions):
            offset = max(known.offset, 0)  # nothing committed yet: from the beginning
            self._boards[known.partition] = self._snapshots.load(known.partition, offset)
            self._committed[known.partition] = offset
        self._consumer.assign(
            [
                TopicPartition(TOPIC, p, board.next_offset or OFFSET_BEGINNING)
                for p, board in self._boards.items()
            ]
        )
        self._line.say("assigned", partitions=sorted(self._boards))

    def revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        """The group takes them back in good order: leave no work behind uncommitted."""
        self.commit()
        self.lost(_consumer, _partitions)

    def lost(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        """They are somebody else's already; nothing that we could commit would be accepted."""
        self._boards.clear()
        self._committed.clear()
        self._line.say("assigned", partitions=[])

    def _committed_offsets(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        deadline = time.monotonic() + self._deadline_s
        while True:
            try:
                known = self._consumer.committed(partitions, timeout=_CALL_TIMEOUT_S)
                for partition in known:
                    if partition.error is not None:
                        raise KafkaException(partition.error)
                return list(known)
            except KafkaException:
                # The broker is away, or the group's coordinator is not ready yet.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)


def work(line: Line, options: Mapping[str, Any]) -> None:
    """Own options: snapshots (a directory)."""
    consumer = Consumer(
        {
            **client_settings(options["bootstrap"], options["client_id"]),
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "session.timeout.ms": _SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": 500,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 8192,
        }
    )
    keeper = Keeper(consumer, Snapshots(Path(options["snapshots"])), line, options["deadline_s"])
    consumer.subscribe(
        [TOPIC], on_assign=keeper.assigned, on_revoke=keeper.revoked, on_lost=keeper.lost
    )
    line.say("ready")
    commit_s = board_s = time.monotonic()
    while not line.stopped:
        keeper.process(consumer.consume(_BATCH_EVENTS_MAX, timeout=_POLL_S))
        now_s = time.monotonic()
        if now_s - commit_s >= _COMMIT_INTERVAL_S:
            keeper.commit()
            commit_s = time.monotonic()
        if now_s - board_s >= _BOARD_INTERVAL_S:
            keeper.show()
            board_s = now_s
    consumer.close()  # revokes, and so saves and commits
    line.say("done")


def _complain(error: KafkaError) -> None:
    """A broker that is away is no reason to give up; what the client calls fatal is."""
    if error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise KafkaException(error)


if __name__ == "__main__":
    sys.exit(main(work))
