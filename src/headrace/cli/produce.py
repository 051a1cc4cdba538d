"""`headrace produce`: lines of a file or of stdin become records.

With --json one object at the end: topic, produced (acknowledged), failed, bytes, seconds,
records_per_s. A failed record makes the exit code 1. Memory is bounded by the client's queue
(`queue.buffering.max.messages`) and by LINE_BYTES_MAX.
What must not enter: what a line means as JSON (`records`).
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from headrace.cli.connection import Connection, explain
from headrace.cli.failure import Exit, Failure, also, note, reporting
from headrace.cli.options import Json, Topic, name_values, with_connection
from headrace.cli.output import bytes_text, count_text, print_json
from headrace.cli.progress import Progress
from headrace.cli.records import Headers, Incoming, from_json

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

__all__ = ["produce"]

LINE_BYTES_MAX: Final = 64 << 20
"""A longer line is no line; librdkafka's `message.max.bytes` is usually far below this."""
DELIVERY_TIMEOUT_MS: Final = 120_000
_POLL_EVERY: Final = 256
_POLL_S: Final = 0.1


class Format(Enum):
    LINES = "lines"
    JSON = "json"


class Acks(Enum):
    ALL = "all"
    LEADER = "1"
    NONE = "0"


class Compression(Enum):
    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


_File = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read this instead of stdin.")
]
_Format = Annotated[
    Format, typer.Option("--format", help="lines: a line is a value; json: a line is a record.")
]
_Key = Annotated[str | None, typer.Option("--key", "-k", help="The key of every record.")]
_KeySeparator = Annotated[
    str | None, typer.Option("--key-separator", "-K", help="A line is KEY, this, VALUE.")
]
_Header = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="NAME=VALUE", help="On every record (repeatable)."),
]
_Partition = Annotated[
    int | None,
    typer.Option("--partition", "-p", min=0, help="Default: by key, as Kafka's clients do."),
]
_Acks = Annotated[Acks, typer.Option("--acks", help="all: safe, and no retry is written twice.")]
_Compression = Annotated[Compression, typer.Option("--compression")]


@reporting
@with_connection
def produce(
    connection: Connection,
    topic: Topic,
    file: _File = None,
    format_: _Format = Format.LINES,
    key: _Key = None,
    key_separator: _KeySeparator = None,
    header: _Header = None,
    partition: _Partition = None,
    acks: _Acks = Acks.ALL,
    compression: _Compression = Compression.NONE,
    json_output: Json = False,
) -> Exit:
    """Write lines to a topic, one record a line."""
    read = _reader(format_, key, key_separator, header)
    producer = connection.producer(
        {
            "acks": acks.value,
            "enable.idempotence": acks is Acks.ALL,
            "compression.type": compression.value,
            "partitioner": "murmur2_random",  # a key goes where Kafka's own clients send it
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
        }
    )
    with _open(file) as lines:
        count = connection.find_topic(producer, topic)
        if partition is not None and partition >= count:
            there = count_text(count, "partition")
            raise Failure(f"topic {topic} has {there}, from 0 to {count - 1}")
        with Progress(f"produced to {topic}") as progress:
            run = _Run(producer, topic, partition, progress)
            code = run.send(_records(lines, read))
            code = run.finish() or code
    run.report(json_output)
    return code or (Exit.FAILED if run.failed else Exit.OK)


class _Run:
    """One stretch of producing: what was handed over, acknowledged, refused."""

    def __init__(
        self, producer: "Producer", topic: str, partition: int | None, progress: Progress
    ) -> None:
        self.failed = 0
        self._reason = ""
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._progress = progress

    def send(self, records: Iterator[tuple[int, Incoming]]) -> Exit:
        """Hand every record over; a line that cannot be read or sent is the last, and told."""
        try:
            polled = time.monotonic()
            for sent, (line, record) in enumerate(records):
                self._hand_over(line, record)
                if sent % _POLL_EVERY == 0 or time.monotonic() - polled > _POLL_S:
                    self._producer.poll(0)
                    polled = time.monotonic()
        except Failure as failure:
            return also(failure)
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        return Exit.OK

    def _hand_over(self, line: int, record: Incoming) -> None:
        from confluent_kafka import KafkaException

        extra: dict[str, Any] = {}
        partition = record.partition if self._partition is None else self._partition
        if partition is not None:
            extra["partition"] = partition
        if record.timestamp_ms is not None:
            extra["timestamp"] = record.timestamp_ms
        if record.headers:
            extra["headers"] = record.headers
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    record.value,
                    record.key,
                    on_delivery=self._delivered,
                    **extra,
                )
                return
            except BufferError:  # the client's queue is full: its bound is ours
                self._producer.poll(_POLL_S)
            except KafkaException as refused:
                raise explain(refused.args[0], f"line {line}") from None

    def _delivered(self, error: "KafkaError | None", message: "Message") -> None:
        if error is None:
            self._progress.add(1, len(message))
            return
        self.failed += 1
        self._reason = self._reason or str(explain(error, "the first of them"))

    def finish(self) -> Exit:
        """Wait until everything handed over is acknowledged or refused; Ctrl-C gives it up."""
        try:
            while self._producer.flush(_POLL_S):
                self._progress.add(0, 0)
        except KeyboardInterrupt:
            self._producer.purge()
            self._producer.flush()
            return Exit.INTERRUPTED
        return Exit.OK

    def report(self, json_output: bool) -> None:
        progress = self._progress
        seconds = progress.seconds
        if self.failed:
            note(f"{count_text(self.failed, 'record')} not acknowledged; {self._reason}")
        if json_output:
            print_json(
                {
                    "topic": self._topic,
                    "produced": progress.records,
                    "failed": self.failed,
                    "bytes": progress.bytes,
                    "seconds": round(seconds, 3),
                    "records_per_s": round(progress.records / seconds, 1),
                }
            )
        else:
            print(
                f"produced {count_text(progress.records, 'record')} "
                f"({bytes_text(progress.bytes)}) to {self._topic} in {seconds:.2f} s: "
                f"{progress.records / seconds:,.0f} records/s, "
                f"{bytes_text(progress.bytes / seconds)}/s"
            )


def _open(file: Path | None) -> AbstractContextManager[BinaryIO]:
    if file is None:
        if sys.stdin.isatty():
            note("reading records from the terminal, one a line; Ctrl-D ends")
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, "rb")
    except OSError as error:
        raise Failure(f"--file {file}: {error.strerror}") from None


def _records(
    lines: BinaryIO, read: Callable[[bytes], Incoming | None]
) -> Iterator[tuple[int, Incoming]]:
    """Each record with the number of its line, from 1. Raises Failure."""
    number = 0
    while line := lines.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise Failure(f"line {number}: longer than {bytes_text(LINE_BYTES_MAX)}")
        try:
            record = read(line.removesuffix(b"\n"))
        except ValueError as error:
            raise Failure(f"line {number}: {error}") from None
        if record is not None:
            yield number, record


def _reader(
    format_: Format, key: str | None, key_separator: str | None, header: list[str] | None
) -> Callable[[bytes], Incoming | None]:
    """What makes a record of a line, or None of an empty one. Raises Failure (USAGE)."""
    headers: Headers = [
        (name, value.encode()) for name, value in name_values(header, "--header").items()
    ]
    fixed_key = None if key is None else key.encode()
    if key is not None and key_separator is not None:
        raise Failure("--key and --key-separator exclude each other", Exit.USAGE)
    if format_ is Format.JSON:
        if key is not None or key_separator is not None:
            raise Failure("with --format json a record says its own key", Exit.USAGE)
        return lambda line: _json_record(line, headers)
    if key_separator is None:
        return lambda line: Incoming(fixed_key, line, headers)
    if not key_separator:
        raise Failure("--key-separator: expected one character or more", Exit.USAGE)
    separator = key_separator.encode()
    return lambda line: _keyed_record(line, separator, headers)


def _json_record(line: bytes, headers: Headers) -> Incoming | None:
    if not line.strip():
        return None
    record = from_json(line)
    return record._replace(headers=record.headers + headers) if headers else record


def _keyed_record(line: bytes, separator: bytes, headers: Headers) -> Incoming:
    key, found, value = line.partition(separator)
    if not found:
        raise ValueError(f'no "{separator.decode()}" between a key and a value')
    return Incoming(key, value, headers)
