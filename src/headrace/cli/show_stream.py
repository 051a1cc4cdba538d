"""`headrace consume --show-stream`: records with their producer id, epoch and sequence.

What must not enter: how a record is written as a line (`records`).
"""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection
from headrace.cli.failure import Exit, Failure
from headrace.cli.offsets import Partition
from headrace.cli.plain_requests import PlainRequests
from headrace.cli.progress import Progress
from headrace.cli.raw_fetch import fetch_batches
from headrace.cli.records import Received
from headrace.wire.batch import ATTRIBUTE_CONTROL, BatchHeader
from headrace.wire.records import read_records

if TYPE_CHECKING:
    from confluent_kafka.admin._topic import TopicDescription

__all__ = ["plain_leaders", "show_streams"]

_WAIT_MS: Final = 200
_SEQUENCE_MASK: Final = 0x7FFF_FFFF


def plain_leaders(
    connection: Connection, description: "TopicDescription"
) -> dict[int, tuple[str, int]]:
    """Where to ask for each partition. Raises Failure (USAGE) where that needs encryption."""
    if not connection.is_plain:
        raise Failure("batches are fetched over plain connections only", Exit.USAGE)
    return {
        part.id: (part.leader.host, part.leader.port)
        for part in description.partitions
        if part.leader is not None
    }


def show_streams(
    connection: Connection,
    description: "TopicDescription",
    starts: dict[Partition, int],
    stops: dict[Partition, int] | None,
    write: Callable[[Received], bytes],
    progress: Progress,
    records_max: int | None,
) -> None:
    """From `starts` to before `stops`, or for ever where there are none. Raises Failure."""
    leaders = plain_leaders(connection, description)
    at = dict(starts)
    left = records_max
    while at and left != 0:
        for place, offset in list(at.items()):
            topic, number = place
            stop = None if stops is None else stops[place]
            wait_ms = _WAIT_MS if stops is None else 0
            with PlainRequests(*leaders[number], connection.timeout_s) as requests:
                batches = list(fetch_batches(requests, topic, number, offset, wait_ms))
            for header, batch in batches:
                lines = [
                    write(record)
                    for record in _records(topic, number, header, batch)
                    if record.offset >= offset and (stop is None or record.offset < stop)
                ][:left]
                sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
                progress.add(len(lines), len(batch))
                left = None if left is None else left - len(lines)
                at[place] = header.next_offset
            sys.stdout.buffer.flush()
            if stop is not None and (at[place] >= stop or not batches):
                del at[place]


def _records(
    topic: str, partition: int, header: BatchHeader, batch: memoryview
) -> Iterator[Received]:
    if header.attributes & ATTRIBUTE_CONTROL:
        return
    for record in read_records(batch):
        stream = "-"
        if header.producer_id >= 0:
            sequence = header.base_sequence + record.offset - header.base_offset & _SEQUENCE_MASK
            stream = f"{header.producer_id}:{header.producer_epoch}:{sequence}"
        yield Received(
            *(topic, partition, record.offset, record.timestamp_ms, record.key, record.value),
            *(list(record.headers), stream),
        )
