"""What a broker knows about the offsets of partitions: first, next, and at a time.

What must not enter: groups and their commits (`group`); records.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure
from headrace.cli.positions import Place, Position

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, OffsetSpec
    from confluent_kafka.admin._topic import TopicDescription

__all__ = ["Partition", "Range", "describe_topics", "partitions_of", "place", "ranges"]

UNKNOWN_TOPIC: Final = "UNKNOWN_TOPIC_OR_PART"

Partition = tuple[str, int]
"""Topic and partition number."""


class Range(NamedTuple):
    """Offsets `start` to `end - 1` are there to be read."""

    start: int
    end: int


def describe_topics(
    connection: Connection, admin: "AdminClient", names: list[str]
) -> "list[TopicDescription]":
    """In the order asked for, partitions ascending. Raises Failure for one that does not exist."""
    from confluent_kafka import TopicCollection

    futures = admin.describe_topics(TopicCollection(names), request_timeout=connection.timeout_s)
    return [connection.wait(futures[name], f"topic {name}") for name in names]


def partitions_of(connection: Connection, admin: "AdminClient", names: list[str]) -> dict[str, int]:
    """How many partitions each topic has; one that does not exist is left out."""
    from confluent_kafka import TopicCollection

    if not names:
        return {}
    counts = {}
    futures = admin.describe_topics(TopicCollection(names), request_timeout=connection.timeout_s)
    for name, future in futures.items():
        try:
            counts[name] = len(connection.wait(future, f"topic {name}").partitions)
        except Failure as failure:
            if failure.reason != UNKNOWN_TOPIC:
                raise
    return counts


def ranges(
    connection: Connection, admin: "AdminClient", partitions: Iterable[Partition]
) -> dict[Partition, Range]:
    """The readable offsets of each partition."""
    from confluent_kafka.admin import OffsetSpec

    wanted = list(partitions)
    starts = _list(connection, admin, wanted, OffsetSpec.earliest())
    ends = _list(connection, admin, wanted, OffsetSpec.latest())
    return {partition: Range(starts[partition], ends[partition]) for partition in wanted}


def place(
    connection: Connection,
    admin: "AdminClient",
    position: Position,
    found: dict[Partition, Range],
) -> dict[Partition, int]:
    """Where `position` is in each partition; not yet cut to what is there. No shifts."""
    match position.place:
        case Place.EARLIEST:
            return {partition: range_.start for partition, range_ in found.items()}
        case Place.LATEST:
            return {partition: range_.end for partition, range_ in found.items()}
        case Place.OFFSET:
            return dict.fromkeys(found, position.number)
        case Place.TIME:
            from confluent_kafka.admin import OffsetSpec

            at = _list(connection, admin, list(found), OffsetSpec.for_timestamp(position.number))
            return {
                partition: range_.end if at[partition] < 0 else at[partition]
                for partition, range_ in found.items()
            }
        case Place.SHIFT:
            raise Failure("a shift needs somewhere to start from")


def _list(
    connection: Connection,
    admin: "AdminClient",
    partitions: list[Partition],
    spec: "OffsetSpec",
) -> dict[Partition, int]:
    from confluent_kafka import TopicPartition

    if not partitions:
        return {}
    asked = {TopicPartition(topic, number): spec for topic, number in partitions}
    futures = admin.list_offsets(asked, request_timeout=connection.timeout_s)
    return {
        (asked_for.topic, asked_for.partition): connection.wait(
            future, f"offsets of {asked_for.topic}, partition {asked_for.partition}"
        ).offset
        for asked_for, future in futures.items()
    }
