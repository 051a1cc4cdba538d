"""`headrace group`: list, describe, alter, reset, delete.

With --json one object a line, with these keys:

    list      group, state, type
    describe  group, state, type, assignor, coordinator, lag,
              members [member_id, client_id, host, instance_id, partitions [[topic, partition]],
              protocol (classic, consumer, share; null: not told)],
              partitions [topic, partition, committed, start, end, lag, member_id],
              configs {name: value} (what is set for the group itself)
    alter     group, configs (what was set; null: unset)
    reset     group, executed, partitions [topic, partition, old, new, start, end]
    delete    group, deleted

`describe` with --http also has lag_s, stuck [member_id, client_id, stuck_for_s].

`committed`, `old` and `new` are the offsets read next; of a share group `committed` is where the
records begin that are not all done with, and the partitions of a member may be others' too.
What must not enter: anything that only Headrace would understand, but for what --http asks
(`group_seen`).
"""

from typing import Annotated, Any, Final

import typer

from headrace.cli.connection import Connection
from headrace.cli.deletion import report_deleted
from headrace.cli.failure import Exit, Failure, also, note, reporting
from headrace.cli.group_alter import alter
from headrace.cli.group_config import group_configs
from headrace.cli.group_reset import reset
from headrace.cli.group_seen import SeenGroup, ask
from headrace.cli.group_state import Group, PartitionState, state_name
from headrace.cli.options import Groups, Json, Yes, command_group, confirm, with_connection
from headrace.cli.output import count_text, print_json, print_table
from headrace.cli.share_groups import SHARE, find_any_group, list_share_groups

__all__ = ["app"]

app = command_group("Look at consumer groups, move and delete them.")
app.command("alter")(alter)
app.command("reset")(reset)

_LIST_HEADINGS: Final = ("GROUP", "STATE", "TYPE")
_LAG_HEADINGS: Final = ("TOPIC", "PARTITION", "COMMITTED", "START", "END", "LAG", "CLIENT")
_MEMBER_HEADINGS: Final = ("MEMBER", "CLIENT", "HOST", "PROTOCOL", "PARTITIONS")


Http = Annotated[
    str | None,
    typer.Option(
        "--http",
        metavar="HOST:PORT",
        help="Ask the broker's HTTP door too: lag in seconds, stuck members.",
    ),
]


@app.command("list")
@reporting
@with_connection
def list_(connection: Connection, json_output: Json = False) -> Exit:
    """List groups: classic, consumer and share groups."""
    admin = connection.admin()
    future = admin.list_consumer_groups(request_timeout=connection.timeout_s)
    result = connection.wait(future, "list groups")
    rows = [
        (found.group_id, state_name(found.state), found.type.name.lower()) for found in result.valid
    ]
    rows += [(name, state, SHARE) for name, state in list_share_groups(connection, admin)]
    rows.sort()
    if json_output:
        for name, state, type_ in rows:
            print_json({"group": name, "state": state, "type": type_})
    elif rows:
        print_table(_LIST_HEADINGS, rows)
    elif not result.errors:
        note("no groups; `headrace consume TOPIC --group NAME` makes one")
    for error in result.errors:
        note(f"list groups: {error}")
    return Exit.FAILED if result.errors else Exit.OK


@app.command("describe")
@reporting
@with_connection
def describe(
    connection: Connection, groups: Groups, http: Http = None, json_output: Json = False
) -> Exit:
    """Show members, committed offsets, lag and configurations."""
    admin = connection.admin()
    code = Exit.OK
    for index, name in enumerate(groups):
        try:
            found = find_any_group(connection, admin, name)
            configs = group_configs(connection, admin, name)
            seen = None if http is None else ask(http, name, connection.timeout_s)
        except Failure as failure:
            code = also(failure)
            continue
        if json_output:
            print_json(_described(found) | {"configs": configs} | _seen(seen))
            continue
        if index:
            print()
        _show(found, seen)
        if configs:
            print()
            print_table(("CONFIGURATION", "VALUE"), configs.items())
    return code


@app.command("delete")
@reporting
@with_connection
def delete(
    connection: Connection, groups: Groups, yes: Yes = False, json_output: Json = False
) -> Exit:
    """Delete groups and their committed offsets."""
    confirm(f"Delete {', '.join(groups)} and the offsets committed there?", yes)
    admin = connection.admin()
    wanted = list(dict.fromkeys(groups))
    futures = admin.delete_consumer_groups(wanted, request_timeout=connection.timeout_s)
    return report_deleted(connection, "group", futures, json_output=json_output)


def _described(group: Group) -> dict[str, Any]:
    return {
        "group": group.name,
        "state": group.state,
        "type": group.type,
        "assignor": group.assignor,
        "coordinator": group.coordinator,
        "lag": group.lag,
        "members": [member._asdict() for member in group.members],
        "partitions": [_partition(part) for part in group.partitions],
    }


def _seen(seen: SeenGroup | None) -> dict[str, Any]:
    if seen is None:
        return {}
    return {"lag_s": seen.lag_s, "stuck": [member._asdict() for member in seen.stuck]}


def _partition(part: PartitionState) -> dict[str, Any]:
    return {
        "topic": part.topic,
        "partition": part.partition,
        "committed": part.committed,
        "start": part.kept.start if part.kept else None,
        "end": part.kept.end if part.kept else None,
        "lag": part.lag,
        "member_id": part.member.member_id if part.member else None,
    }


def _show(group: Group, seen: SeenGroup | None) -> None:
    assignor = f", {group.assignor}" if group.assignor else ""
    print(
        f"{group.name}: {group.state}, {count_text(len(group.members), 'member')}, "
        f"lag {group.lag:,} ({group.type}{assignor}, coordinator {group.coordinator})"
    )
    if seen is not None and seen.lag_s:
        print(f"  the oldest record to be read is {seen.lag_s:,.1f} s old")
    for member in seen.stuck if seen is not None else ():
        print(
            f"  STUCK: {member.member_id} ({member.client_id}) is alive, has records to read and "
            f"has committed no progress for {member.stuck_for_s:,.0f} s"
        )
    if group.partitions:
        print()
        print_table(
            _LAG_HEADINGS,
            (
                (
                    part.topic,
                    part.partition,
                    part.committed,
                    part.kept.start if part.kept else None,
                    part.kept.end if part.kept else None,
                    part.lag,
                    part.member.client_id if part.member else None,
                )
                for part in group.partitions
            ),
        )
    if group.members:
        print()
        print_table(
            _MEMBER_HEADINGS,
            (
                (
                    member.member_id,
                    member.client_id,
                    member.host,
                    member.protocol,
                    len(member.partitions),
                )
                for member in group.members
            ),
        )
