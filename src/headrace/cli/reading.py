"""The loop of `headrace consume`: batches in, lines out, and knowing when it is enough.

What must not enter: options and their defaults; where a position is (`offsets`).
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection, explain
from headrace.cli.failure import Failure, note
from headrace.cli.offsets import Partition
from headrace.cli.progress import Progress
from headrace.cli.records import Headers, Received
from headrace.cli.stopping import Stopping

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

__all__ = ["Reading", "received"]

BATCH_RECORDS_MAX: Final = 1000
_NO_TIMESTAMP: Final = 0
"""confluent_kafka.TIMESTAMP_NOT_AVAILABLE, without an import for every record."""
_POLL_S: Final = 0.2
"""The client waits in C, deaf to Ctrl-C, for at most this long."""
_OUTAGE_TOLD_AFTER_S: Final = 1.0


class Reading:
    """One consumer, what is still to be read from it, and where the lines go: stdout."""

    def __init__(
        self,
        connection: Connection,
        consumer: "Consumer",
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
        self._stops: dict[Partition, int] | None = None
        """Where to stop in each partition that is not done; None reads on for ever."""
        self._in_group = False
        self._assigned = False
        self._outage_told = False

    def alone(self, starts: dict[Partition, int], stops: dict[Partition, int] | None) -> None:
        """Read from `starts` up to before `stops`. Raises Failure, KeyboardInterrupt."""
        from confluent_kafka import TopicPartition

        if not starts:
            return
        self._stops = stops
        if stops is not None:
            self._progress.expect(sum(stops[at] - offset for at, offset in starts.items()))
        self._consumer.assign(
            [TopicPartition(topic, number, at) for (topic, number), at in starts.items()]
        )
        self._assigned = True
        self._read()

    def in_group(
        self, topic: str, stops_of: Callable[[list[Partition]], dict[Partition, int]] | None
    ) -> None:
        """Read what the group assigns. Raises Failure, KeyboardInterrupt."""
        self._in_group = True
        self._stops = None if stops_of is None else {}

        def assigned(_: "Consumer", partitions: "list[TopicPartition]") -> None:
            self._assigned = True
            if self._stops is not None and stops_of is not None:
                self._stops |= stops_of([(part.topic, part.partition) for part in partitions])

        def revoked(_: "Consumer", partitions: "list[TopicPartition]") -> None:
            self._assigned = False
            for part in partitions:
                if self._stops is not None:
                    self._stops.pop((part.topic, part.partition), None)

        self._consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
        self._read()

    def _read(self) -> None:
        while not self._enough():
            messages = self._next_messages()
            if messages:
                self._connection.heard()
                self._outage_told = False
                self._take(messages)
            else:
                self._progress.add(0, 0)
                self._check_outage()

    def _next_messages(self) -> "list[Message]":
        """The next one as soon as there is one, and what has come with it; none after a while."""
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return []
        count = BATCH_RECORDS_MAX if self._left is None else min(self._left, BATCH_RECORDS_MAX)
        return [first, *(self._consumer.consume(count - 1, 0) if count > 1 else ())]

    def _enough(self) -> bool:
        return self._left == 0 or (self._assigned and self._stops == {})

    def _take(self, messages: "list[Message]") -> None:
        lines: list[bytes] = []
        next_offsets: dict[Partition, int] = {}
        size_bytes = 0
        for message in messages:
            error = message.error()
            partition = (message.topic() or "", message.partition() or 0)
            if error is not None:
                self._event(error, partition)
            elif self._wanted(partition, message.offset() or 0):
                record = received(message)
                lines.append(self._write(record))
                size_bytes += len(message)
                next_offsets[partition] = record.offset + 1
        if not lines:
            return
        self._progress.add(len(lines), size_bytes)
        if self._left is not None:
            self._left -= len(lines)
        with self._stopping.step():  # what was written out is committed, also when told to stop
            sys.stdout.buffer.write(b"\n".join([*lines, b""]))
            sys.stdout.buffer.flush()
            if self._in_group:
                self._store(next_offsets)

    def _wanted(self, partition: Partition, offset: int) -> bool:
        """Whether to write this record; the last one that is wanted ends its partition."""
        if self._stops is None:
            return True
        stop = self._stops.get(partition)
        if stop is not None and offset + 1 >= stop:
            self._end(partition)
        return stop is not None and offset < stop

    def _event(self, error: "KafkaError", partition: Partition) -> None:
        where = f"{partition[0]}, partition {partition[1]}"
        if error.code() == error._PARTITION_EOF:
            self._end(partition)
        elif error.code() == error._AUTO_OFFSET_RESET:
            raise Failure(
                f"{where}: the records to be read next were deleted meanwhile; "
                "read again with --from beginning"
            )
        elif not error.retriable() and error.code() not in (
            error._TRANSPORT,
            error._TIMED_OUT,
            error._MAX_POLL_EXCEEDED,
        ):
            raise explain(error, where)

    def _end(self, partition: Partition) -> None:
        """Nothing more is wanted of `partition`, so nothing more is fetched from it."""
        from confluent_kafka import TopicPartition

        if self._stops is not None and self._stops.pop(partition, None) is not None:
            topic, number = partition
            self._consumer.pause([TopicPartition(topic, number)])

    def _store(self, next_offsets: dict[Partition, int]) -> None:
        """Let the client commit these; a partition that was taken away is another's to commit."""
        from confluent_kafka import KafkaException, TopicPartition

        for (topic, number), offset in next_offsets.items():
            try:
                self._consumer.store_offsets(offsets=[TopicPartition(topic, number, offset)])
            except KafkaException as refused:
                if refused.args[0].code() != refused.args[0]._STATE:
                    raise explain(refused.args[0], f"commit of {topic}") from None

    def _check_outage(self) -> None:
        outage_s = self._connection.outage_s()
        if self._stops is not None and outage_s > self._connection.timeout_s:
            raise self._connection.unreachable()
        if outage_s > _OUTAGE_TOLD_AFTER_S and not self._outage_told:
            self._outage_told = True
            note(f"{self._connection.bootstrap}: the broker is gone; waiting for it to come back")


def received(message: "Message") -> Received:
    """A record as the commands show it."""
    kind, timestamp_ms = message.timestamp()
    return Received(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        None if kind == _NO_TIMESTAMP else timestamp_ms,
        _raw(message.key()),
        _raw(message.value()),
        _headers(message),
    )


def _headers(message: "Message") -> Headers:
    found = message.headers()
    pairs = found.items() if isinstance(found, dict) else found or []
    return [(name, _raw(value)) for name, value in pairs]


def _raw(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
