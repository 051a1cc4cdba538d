"""The loop of `headrace consume --share`: take records of a share group, write them, accept them.

A record is accepted only after it has been written out, so a crash repeats records and loses none;
what was taken and is not wanted goes back to the others at once. What must not enter: options.
"""

import sys
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection, explain
from headrace.cli.failure import note
from headrace.cli.progress import Progress
from headrace.cli.reading import received
from headrace.cli.records import Received
from headrace.cli.stopping import Stopping, stoppable

if TYPE_CHECKING:
    from confluent_kafka import Message, ShareConsumer

__all__ = ["share"]

_POLL_S: Final = 0.2
"""The client waits in C, deaf to Ctrl-C, for at most this long."""
_OUTAGE_TOLD_AFTER_S: Final = 1.0


def share(
    connection: Connection,
    topic: str,
    group: str,
    write: Callable[[Received], bytes],
    progress: Progress,
    records_max: int | None,
) -> None:
    """Work as a member of `group` until `records_max` are written or Ctrl-C. Raises Failure."""
    properties = {"group.id": group, "share.acknowledgement.mode": "explicit"}
    with (
        stoppable() as stopping,
        closing(connection.share_consumer(properties)) as consumer,  # which leaves the group
        progress,
        suppress(KeyboardInterrupt),
    ):
        _Member(connection, consumer, write, progress, records_max, stopping).work(topic)


class _Member:
    """One member of a share group, and where the lines go: stdout."""

    def __init__(
        self,
        connection: Connection,
        consumer: "ShareConsumer",
        write: Callable[[Received], bytes],
        progress: Progress,
        records_max: int | None,
        stopping: Stopping,
    ) -> None:
        self._connection = connection
        self._consumer = consumer
        self._write = write
        self._progress = progress
        self._left = records_max
        self._stopping = stopping
        self._outage_told = False

    def work(self, topic: str) -> None:
        """Until enough is read. Raises Failure, KeyboardInterrupt."""
        from confluent_kafka import KafkaException

        self._consumer.subscribe([topic])
        while self._left != 0:
            try:
                messages = list(self._consumer.poll(_POLL_S))
                if messages:
                    self._connection.heard()
                    self._outage_told = False
                    self._take(messages)
                else:
                    self._progress.add(0, 0)
                    self._check_outage()
            except KafkaException as refused:
                raise explain(refused.args[0], f"share group of {topic}") from None

    def _take(self, messages: "list[Message]") -> None:
        from confluent_kafka import AcknowledgeType

        good = []
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif not error.retriable():
                raise explain(error, f"{message.topic()}, partition {message.partition()}")
        wanted = good if self._left is None else good[: self._left]
        lines = [self._write(received(message)) for message in wanted]
        self._progress.add(len(lines), sum(len(message) for message in wanted))
        if self._left is not None:
            self._left -= len(wanted)
        with self._stopping.step():  # what was written out is accepted, also when told to stop
            if lines:
                sys.stdout.buffer.write(b"\n".join([*lines, b""]))
                sys.stdout.buffer.flush()
            for message in wanted:
                self._consumer.acknowledge(message)
            for message in good[len(wanted) :]:
                self._consumer.acknowledge(message, AcknowledgeType.RELEASE)
            self._commit()

    def _commit(self) -> None:
        answers = self._consumer.commit_sync(self._connection.timeout_s)
        for part, refused in answers.items():
            if refused is not None:
                note(
                    f"{explain(refused.args[0], f'{part.topic}, partition {part.partition}')}; "
                    "the last records may be delivered again"
                )

    def _check_outage(self) -> None:
        if self._connection.outage_s() > _OUTAGE_TOLD_AFTER_S and not self._outage_told:
            self._outage_told = True
            note(f"{self._connection.bootstrap}: the broker is gone; waiting for it to come back")
