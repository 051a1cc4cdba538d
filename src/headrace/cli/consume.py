"""`headrace consume`: records of a topic on stdout, one a line.

Without --follow it reads to where the topic ended when it began, and is done. With --group the
group's members share the partitions, and an offset is committed only after the record has been
written out: a crash repeats records and loses none. With --ephemeral the group is nobody else's,
and gone afterwards. With --share the records themselves are shared: each goes to one of the share
group's members, and comes back to another if that one goes before it has written it out.
What must not enter: how a record is written as a line (`records`).
"""

import sys
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.completion import group_names
from headrace.cli.connection import Connection
from headrace.cli.ephemeral import ephemeral_group
from headrace.cli.failure import Exit, Failure, note, reporting
from headrace.cli.offsets import Partition, Range, describe_topics, place, ranges
from headrace.cli.options import Json, Topic, with_connection
from headrace.cli.output import count_text, on_terminal
from headrace.cli.positions import Place, Position
from headrace.cli.progress import Progress
from headrace.cli.reading import Reading
from headrace.cli.records import Received, as_json, as_text, as_value
from headrace.cli.sharing import share as work_in_share_group
from headrace.cli.show_stream import show_streams
from headrace.cli.stopping import stoppable

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["consume"]

GROUP_ID: Final = "headrace-cli"
"""The client wants one even where no group is used; nothing is ever committed to it."""


COMMIT_INTERVAL_MS: Final = 1000
QUEUE_BACKOFF_MS: Final = 10
"""How long the client rests when its queue is full. Its own 1,000 ms leave us waiting: reading
small records takes ten times as long."""


class Format(Enum):
    TEXT = "text"
    JSON = "json"
    VALUE = "value"


_WRITERS: Final = {Format.TEXT: as_text, Format.JSON: as_json, Format.VALUE: as_value}


_From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="POSITION",
        help="beginning, latest, an OFFSET, a time (2026-11-01T06:30, UTC) or how long ago (-2h). "
        "With --group: where to begin if the group has not been there.",
    ),
]
_Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="POSITION",
        help="Stop before this. Default: end, where the topic ends now.",
    ),
]
_Max = Annotated[int | None, typer.Option("--max", "-n", min=1, help="Stop after so many records.")]
_Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Wait for more at the end, until Ctrl-C.")
]
_Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        "-g",
        autocompletion=group_names,
        help="Share the work with the group's other members.",
    ),
]
_Ephemeral = Annotated[
    bool,
    typer.Option(
        "--ephemeral",
        help="As a group of its own that the broker keeps in memory and forgets at the end.",
    ),
]
_Share = Annotated[
    str | None,
    typer.Option(
        "--share",
        metavar="NAME",
        help="Take records in turns with the other members of this share group, until Ctrl-C. "
        "Where a new one begins is its share.auto.offset.reset (`headrace group alter`).",
    ),
]
_ShowStream = Annotated[
    bool,
    typer.Option(
        "--show-stream",
        help="Show which ingest stream (or idempotent producer) sent each record: "
        "PRODUCER:EPOCH:SEQUENCE. Not with groups, nor over encrypted connections.",
    ),
]
_Partition = Annotated[
    list[int] | None,
    typer.Option("--partition", "-p", min=0, help="Only this one (repeatable)."),
]
_Format = Annotated[
    Format | None,
    typer.Option("--format", help="json: everything; value: as it is. Default: text."),
]


@reporting
@with_connection
def consume(
    connection: Connection,
    topic: Topic,
    from_: _From = "beginning",
    until: _Until = None,
    max_: _Max = None,
    follow: _Follow = False,
    group: _Group = None,
    ephemeral: _Ephemeral = False,
    share: _Share = None,
    show_stream: _ShowStream = False,
    partition: _Partition = None,
    format_: _Format = None,
    json_output: Json = False,
) -> Exit:
    """Read a topic's records."""
    write = _writer(format_, json_output)
    start = Position.parse(from_, "--from")
    stop = _stop(until, follow)
    if (group is not None) + ephemeral + (share is not None) > 1:
        raise Failure("--group, --ephemeral and --share exclude each other", Exit.USAGE)
    if share is not None:
        _check_for_share(start, until, partition)
    if group is not None or ephemeral:
        _check_for_group(start, partition)
    if show_stream and (group is not None or ephemeral or share is not None):
        raise Failure("--show-stream is not for groups", Exit.USAGE)
    admin = connection.admin()
    [description] = describe_topics(connection, admin, [topic])
    partitions = _choose(topic, [part.id for part in description.partitions], partition)
    progress = Progress(f"consumed from {topic}", hidden=on_terminal(sys.stdout))
    if share is not None:
        work_in_share_group(connection, topic, share, write, progress, max_)
        return _told(progress)
    if show_stream:
        with stoppable(), progress, suppress(KeyboardInterrupt):
            bounds = _bounds(connection, admin, partitions, start, stop)
            show_streams(connection, description, *bounds, write, progress, max_)
        return _told(progress)
    # Closing leaves the group, and commits what was written out.
    with (
        stoppable() as stopping,
        ephemeral_group(connection, admin) if ephemeral else nullcontext(group) as group,
        closing(connection.consumer(_properties(group, start))) as consumer,
    ):
        reading = Reading(connection, consumer, write, progress, max_, stopping)
        with progress, suppress(KeyboardInterrupt):  # how --follow ends: no failure
            if group is None:
                reading.alone(*_bounds(connection, admin, partitions, start, stop))
            else:
                reading.in_group(topic, _stops_of(connection, admin, stop))
    return _told(progress)


def _told(progress: Progress) -> Exit:
    if on_terminal(sys.stderr):
        note(count_text(progress.records, "record"))
    return Exit.OK


def _writer(format_: Format | None, json_output: bool) -> Callable[[Received], bytes]:
    if json_output and format_ not in (None, Format.JSON):
        raise Failure("--json and --format exclude each other", Exit.USAGE)
    return _WRITERS[Format.JSON if json_output else format_ or Format.TEXT]


def _stop(until: str | None, follow: bool) -> Position | None:
    if follow and until is not None:
        raise Failure("--follow and --until exclude each other", Exit.USAGE)
    return None if follow else Position.parse(until or "end", "--until")


def _check_for_group(start: Position, partition: list[int] | None) -> None:
    if partition:
        raise Failure("a group decides itself who reads which partition", Exit.USAGE)
    if start.place not in (Place.EARLIEST, Place.LATEST):
        raise Failure(
            "--from: a group begins at the beginning or the latest, and goes on where it was; "
            "`headrace group reset` puts it elsewhere",
            Exit.USAGE,
        )


def _check_for_share(start: Position, until: str | None, partition: list[int] | None) -> None:
    if partition:
        raise Failure("a share group decides itself who reads which partition", Exit.USAGE)
    if start.place is not Place.EARLIEST or until is not None:
        raise Failure(
            "--from and --until: a share group has no positions to read between; "
            "`headrace group reset` puts it elsewhere",
            Exit.USAGE,
        )


def _properties(group: str | None, start: Position) -> dict[str, Any]:
    common = {
        "check.crcs": True,
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
    }
    if group is None:
        return common | {
            "group.id": GROUP_ID,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    return common | {
        "group.id": group,
        "auto.commit.interval.ms": COMMIT_INTERVAL_MS,
        "enable.auto.offset.store": False,  # Reading stores what it has written out
        "auto.offset.reset": start.place.value,
    }


def _choose(topic: str, there: list[int], wanted: list[int] | None) -> list[Partition]:
    for number in wanted or []:
        if number not in there:
            raise Failure(
                f"topic {topic} has {count_text(len(there), 'partition')}, "
                f"from 0 to {len(there) - 1}; there is no {number}"
            )
    return [(topic, number) for number in wanted or there]


def _bounds(
    connection: Connection,
    admin: "AdminClient",
    partitions: list[Partition],
    start: Position,
    stop: Position | None,
) -> tuple[dict[Partition, int], dict[Partition, int] | None]:
    """The offsets to read from and to stop before, of partitions that have anything to read."""
    found = ranges(connection, admin, partitions)
    starts = _within(place(connection, admin, start, found), found)
    if stop is None:
        return starts, None
    stops = _stops(place(connection, admin, stop, found), found)
    starts = {
        partition: offset for partition, offset in starts.items() if offset < stops[partition]
    }
    return starts, {partition: stops[partition] for partition in starts}


def _stops(wanted: dict[Partition, int], found: dict[Partition, Range]) -> dict[Partition, int]:
    return {partition: min(offset, found[partition].end) for partition, offset in wanted.items()}


def _stops_of(
    connection: Connection, admin: "AdminClient", stop: Position | None
) -> Callable[[list[Partition]], dict[Partition, int]] | None:
    """The same for partitions that a group assigns later."""
    if stop is None:
        return None

    def stops_of(partitions: list[Partition]) -> dict[Partition, int]:
        found = ranges(connection, admin, partitions)
        return _stops(place(connection, admin, stop, found), found)

    return stops_of


def _within(starts: dict[Partition, int], found: dict[Partition, Range]) -> dict[Partition, int]:
    """`starts`, moved to where there are records; a move is told."""
    placed = {}
    for partition, offset in starts.items():
        placed[partition] = min(max(offset, found[partition].start), found[partition].end)
        if placed[partition] != offset:
            note(
                f"partition {partition[1]} has the offsets from {found[partition].start} to "
                f"{found[partition].end}: reading from {placed[partition]} instead of {offset}"
            )
    return placed
