"""`headrace transaction`: list, describe, producers, abort.

With --json one object a line, with these keys:

    list, describe  transactional_id, state, producer_id, producer_epoch, timeout_ms,
                    started_ms, age_s (null without an open transaction),
                    partitions [[topic, partition]], coordinator
    producers       topic, partition, producer_id, producer_epoch, last_sequence,
                    last_timestamp_ms, coordinator_epoch, open_from (null: no open transaction),
                    transactional_id (whose that is; null: nobody's, it hangs)
    abort           transactional_id, producer_id, producer_epoch,
                    partitions [[topic, partition]], executed

Times are in ms since 1970. What must not enter: anything that only Headrace would understand.
"""

import time
from typing import Annotated, Any, Final

import typer

from headrace.cli.connection import Connection
from headrace.cli.failure import Exit, Failure, also, note, reporting
from headrace.cli.options import Json, command_group, with_connection
from headrace.cli.output import print_json, print_table
from headrace.cli.quantities import duration_text, parse_duration_s
from headrace.cli.transaction_abort import abort, parse_partition
from headrace.cli.transactions import (
    PartitionProducer,
    Transaction,
    find_transaction,
    list_transactions,
    producers_of,
    with_owners,
)

__all__ = ["app"]

app = command_group("Look at transactions, and abort those that hang.")
app.command("abort")(abort)

_LIST_HEADINGS: Final = (
    "TRANSACTIONAL ID",
    "STATE",
    "OPEN FOR",
    "TIMEOUT",
    "PARTITIONS",
    "PRODUCER",
)
_PRODUCER_HEADINGS: Final = (
    *("PARTITION", "PRODUCER", "EPOCH", "LAST SEQUENCE", "LAST WRITE", "OPEN FROM"),
    "TRANSACTIONAL ID",
)
_HANGING: Final = "(hanging)"
_STATE_NAMES: Final = (
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
)
_STATES: Final = {name.lower(): name for name in _STATE_NAMES}


@app.command("list")
@reporting
@with_connection
def list_(
    connection: Connection,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"Only those in this state: {', '.join(_STATES.values())} (repeatable).",
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="DURATION", help="Only those open for longer, such as 15m."
        ),
    ] = None,
    json_output: Json = False,
) -> Exit:
    """List transactional ids, and for how long their transactions have been open."""
    states = [_state(text) for text in state or []]
    older_than_ms = -1
    if older_than is not None:
        older_than_ms = round(parse_duration_s(older_than, "--older-than") * 1000)
    found = list_transactions(connection, connection.admin(), states, older_than_ms)
    if json_output:
        for transaction in found:
            print_json(_json(transaction))
    elif found:
        print_table(_LIST_HEADINGS, map(_row, found))
    elif states or older_than is not None:
        note("no transactions like that")
    else:
        note("no transactional ids; producers with `transactional.id` make them")
    return Exit.OK


@app.command("describe")
@reporting
@with_connection
def describe(
    connection: Connection,
    transactional_ids: Annotated[list[str], typer.Argument(metavar="ID")],
    json_output: Json = False,
) -> Exit:
    """Show state, producer and partitions of transactional ids."""
    admin = connection.admin()
    code = Exit.OK
    for index, name in enumerate(transactional_ids):
        try:
            found = find_transaction(connection, admin, name)
        except Failure as failure:
            code = also(failure)
            continue
        if json_output:
            print_json(_json(found))
            continue
        if index:
            print()
        _show(found)
    return code


@app.command("producers")
@reporting
@with_connection
def producers(
    connection: Connection,
    where: Annotated[str, typer.Argument(metavar="TOPIC[/PARTITION]")],
    only_open: Annotated[
        bool, typer.Option("--open", help="Only those with an open transaction.")
    ] = False,
    json_output: Json = False,
) -> Exit:
    """Show who writes to partitions with sequences, and whose transactions are open there."""
    topic, partition = parse_partition(where, "TOPIC[/PARTITION]")
    admin = connection.admin()
    code = Exit.OK
    seen: list[PartitionProducer] = []
    for told in producers_of(connection, admin, topic, partition):
        if isinstance(told, Failure):
            code = also(told)
        else:
            seen.append(told)
    found = [
        (one, owner)
        for one, owner in with_owners(connection, admin, seen)
        if one.open_from is not None or not only_open
    ]
    if json_output:
        for one, owner in found:
            print_json(one._asdict() | {"transactional_id": owner})
    elif found:
        print_table(_PRODUCER_HEADINGS, (_producer_row(*each) for each in found))
    elif code is Exit.OK:
        note(f"{where}: no producers like that" if only_open else f"{where}: no such producers")
    return code


def _state(text: str) -> str:
    found = _STATES.get(text.lower().replace("-", ""))
    if found is None:
        expected = ", ".join(_STATES.values())
        raise Failure(f'--state: expected one of {expected}; got "{text}"', Exit.USAGE)
    return found


def _json(found: Transaction) -> dict[str, Any]:
    return found._asdict() | {"age_s": found.age_s}


def _age(found: Transaction) -> str | None:
    return None if found.age_s is None else duration_text(found.age_s)


def _row(found: Transaction) -> tuple[object, ...]:
    return (
        found.transactional_id,
        found.state,
        _age(found),
        duration_text(found.timeout_ms / 1000),
        len(found.partitions),
        found.producer_id,
    )


def _show(found: Transaction) -> None:
    age = f" for {_age(found)}" if found.age_s is not None else ""
    print(
        f"{found.transactional_id}: {found.state}{age} (producer {found.producer_id}, epoch "
        f"{found.producer_epoch}, timeout {duration_text(found.timeout_ms / 1000)}, coordinator "
        f"{found.coordinator})"
    )
    if found.partitions:
        print()
        print_table(("TOPIC", "PARTITION"), found.partitions)


def _producer_row(seen: PartitionProducer, owner: str | None) -> tuple[object, ...]:
    written = None
    if seen.last_timestamp_ms is not None:
        written = f"{duration_text(max(0.0, time.time() - seen.last_timestamp_ms / 1000))} ago"
    return (
        f"{seen.topic}/{seen.partition}",
        seen.producer_id,
        seen.producer_epoch,
        seen.last_sequence,
        written,
        seen.open_from,
        _HANGING if owner is None and seen.open_from is not None else owner,
    )
