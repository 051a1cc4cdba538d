"""`headrace group reset`: move where a group reads next; shown first, done with --execute.

What must not enter: how groups are shown otherwise (`group`).
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from headrace.cli.connection import Connection, explain
from headrace.cli.failure import Exit, Failure, also, note, reporting
from headrace.cli.group_config import RESET_UNTIL_MS, set_group_config
from headrace.cli.group_state import Group
from headrace.cli.offsets import Partition, Range, partitions_of, place, ranges
from headrace.cli.options import Group as GroupName
from headrace.cli.options import Json, with_connection
from headrace.cli.output import count_text, print_json, print_table
from headrace.cli.positions import Place, Position
from headrace.cli.share_groups import SHARE, alter_share_group, find_any_group

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["reset"]


FENCING_MS: Final = 60_000
"""How long the broker accepts the commit: longer than it takes, and than clocks are apart."""


class Move(NamedTuple):
    topic: str
    partition: int
    old: int | None
    new: int
    kept: Range


@reporting
@with_connection
def reset(
    connection: Connection,
    group: GroupName,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="POSITION",
            help="earliest, latest, an OFFSET, a time (2026-11-01T06:30, UTC), how long ago (-2h), "
            "or a shift (+100, -100).",
        ),
    ],
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            "-t",
            metavar="TOPIC[:P,P...]",
            help="Only this topic, or these of its partitions (repeatable). "
            "Default: everything the group has committed.",
        ),
    ] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it. Without this it is only shown.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Also while the group reads: its members are fenced, join again and go on from "
            "there. Needs a Headrace broker.",
        ),
    ] = False,
    json_output: Json = False,
) -> Exit:
    """Move where a group reads next."""
    position = Position.parse(to, "--to", shift=True)
    wanted = [_selection(text) for text in topic or []]
    admin = connection.admin()
    found = find_any_group(connection, admin, group, may_be_new=bool(wanted))
    is_shared = found.type == SHARE
    if is_shared and live:
        raise Failure("--live: a share group is moved while nobody reads; stop its members first")
    moves = _plan(connection, admin, found, position, wanted)
    if execute and found.active and not live:
        how = "stop them first" if is_shared else "stop them first, or fence them with --live"
        raise Failure(f"{_active(found)}; {how}")
    code = Exit.OK
    if execute and is_shared:
        targets = {(move.topic, move.partition): move.new for move in moves}
        for refusal in alter_share_group(connection, admin, group, targets):
            code = also(refusal)
    elif execute:
        with _fencing(connection, admin, group) if found.active else nullcontext():
            code = _commit(connection, admin, group, moves)
    if json_output:
        print_json({"group": group, "executed": execute, "partitions": list(map(_json, moves))})
    else:
        print_table(
            ("TOPIC", "PARTITION", "OLD", "NEW", "START", "END", "LAG"),
            ((*move[:4], *move.kept, move.kept.end - move.new) for move in moves),
        )
    if execute and code is Exit.OK:
        note(f"group {group}: {count_text(len(moves), 'partition')} moved")
    elif not execute:
        note(f"nothing was changed; --execute does it{_outlook(found, live)}")
    return code


def _outlook(group: Group, live: bool) -> str:
    if not group.active:
        return ""
    if live:
        return f" and fences the members: {_active(group)}"
    return f"; it would be refused now: {_active(group)}"


@contextmanager
def _fencing(connection: Connection, admin: "AdminClient", group: str) -> Iterator[None]:
    """Within, one commit for the whole group is accepted, and fences its members."""
    until_ms = time.time_ns() // 1_000_000 + FENCING_MS
    try:
        set_group_config(connection, admin, group, {RESET_UNTIL_MS: str(until_ms)})
    except Failure as failure:
        if not failure.reason:
            raise
        raise Failure(
            f"--live: this broker moves groups only while they have no members "
            f"({failure.reason}); stop them first",
            reason=failure.reason,
        ) from None
    try:
        yield
    finally:
        set_group_config(connection, admin, group, {RESET_UNTIL_MS: None})


def _active(group: Group) -> str:
    return f"group {group.name} is {group.state} with {count_text(len(group.members), 'member')}"


def _selection(text: str) -> tuple[str, list[int] | None]:
    """`flights`, or `flights:0,2`."""
    name, colon, numbers = text.partition(":")
    if not colon:
        return name, None
    try:
        return name, sorted({int(number) for number in numbers.split(",")})
    except ValueError:
        message = f'--topic: expected TOPIC or TOPIC:P,P such as {name}:0,2; got "{text}"'
        raise Failure(message, Exit.USAGE) from None


def _plan(
    connection: Connection,
    admin: "AdminClient",
    group: Group,
    position: Position,
    wanted: list[tuple[str, list[int] | None]],
) -> list[Move]:
    """Every partition that is asked for, with where it would be put: never outside what is kept."""
    old = {
        (part.topic, part.partition): part.committed
        for part in group.partitions
        if part.committed is not None
    }
    kept = {(part.topic, part.partition): part.kept for part in group.partitions if part.kept}
    chosen = _chosen(connection, admin, wanted) if wanted else [at for at in old if at in kept]
    if not chosen:
        raise Failure(f"group {group.name} has committed nothing; say which --topic")
    kept |= ranges(connection, admin, [at for at in chosen if at not in kept])
    found = {partition: kept[partition] for partition in chosen}
    if position.place is Place.SHIFT:
        new = {at: _from(old, at) + position.number for at in chosen}
    else:
        new = place(connection, admin, position, found)
    return [
        Move(*at, old.get(at), min(max(new[at], range_.start), range_.end), range_)
        for at, range_ in sorted(found.items())
    ]


def _from(old: dict[Partition, int], partition: Partition) -> int:
    if partition not in old:
        raise Failure(
            f"--to: nothing was committed for {partition[0]}, partition {partition[1]}, "
            "so there is nothing to shift from"
        )
    return old[partition]


def _chosen(
    connection: Connection, admin: "AdminClient", wanted: list[tuple[str, list[int] | None]]
) -> list[Partition]:
    counts = partitions_of(connection, admin, sorted({name for name, _ in wanted}))
    chosen: set[Partition] = set()
    for name, numbers in wanted:
        count = counts.get(name)
        if count is None:
            raise Failure(f"topic {name}: there is no such topic; `headrace topic list`")
        for number in range(count) if numbers is None else numbers:
            if not 0 <= number < count:
                raise Failure(f"topic {name} has no partition {number}, they end at {count - 1}")
            chosen.add((name, number))
    return sorted(chosen)


def _commit(
    connection: Connection, admin: "AdminClient", group: str, moves: Iterable[Move]
) -> Exit:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    parts = [TopicPartition(move.topic, move.partition, move.new) for move in moves]
    asked = [ConsumerGroupTopicPartitions(group, parts)]
    future = admin.alter_consumer_group_offsets(asked, request_timeout=connection.timeout_s)[group]
    code = Exit.OK
    for part in connection.wait(future, f"reset group {group}").topic_partitions or []:
        if part.error is not None:
            code = also(explain(part.error, f"{part.topic}, partition {part.partition}"))
    return code


def _json(move: Move) -> dict[str, Any]:
    return {
        "topic": move.topic,
        "partition": move.partition,
        "old": move.old,
        "new": move.new,
        "start": move.kept.start,
        "end": move.kept.end,
    }
