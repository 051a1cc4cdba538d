"""`headrace transaction abort`: end what hangs; shown first, done with --execute.

What must not enter: how transactions are shown otherwise (`transaction`).
"""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.connection import Connection
from headrace.cli.failure import Exit, Failure, note, reporting
from headrace.cli.options import Json, with_connection
from headrace.cli.output import print_json, print_table
from headrace.cli.transactions import (
    ENDED,
    PartitionProducer,
    abort_in_partition,
    fence,
    find_transaction,
    producers_of,
    with_owners,
)

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["abort", "parse_partition"]

_ONGOING: Final = "Ongoing"


@reporting
@with_connection
def abort(
    connection: Connection,
    transactional_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Abort it, and fence its producer.")
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition",
            "-p",
            metavar="TOPIC/PARTITION",
            help="Where a transaction hangs that no coordinator knows.",
        ),
    ] = None,
    producer_id: Annotated[
        int | None,
        typer.Option("--producer-id", metavar="NUMBER", min=0, help="Whose; with --partition."),
    ] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it. Without this it is only shown.")
    ] = False,
    json_output: Json = False,
) -> Exit:
    """Abort a transaction: by its id, or by partition and producer if it hangs.

    One that was prepared for a decision from outside (two-phase commit) is lost then, whatever is
    decided there.
    """
    if transactional_id is not None and partition is None and producer_id is None:
        _abort_id(connection, transactional_id, execute, json_output)
    elif transactional_id is None and partition is not None and producer_id is not None:
        topic, number = parse_partition(partition, "--partition")
        if number is None:
            message = f'--partition: expected TOPIC/PARTITION such as {topic}/0; got "{topic}"'
            raise Failure(message, Exit.USAGE)
        _abort_hanging(connection, topic, number, producer_id, execute, json_output)
    else:
        raise Failure("name an ID, or --partition and --producer-id", Exit.USAGE)
    return Exit.OK


def parse_partition(text: str, option: str) -> tuple[str, int | None]:
    """`payments/3` or `payments`. Raises Failure (USAGE)."""
    topic, slash, number = text.partition("/")
    if not topic or (slash and not (number.isascii() and number.isdigit())):
        message = f'{option}: expected TOPIC or TOPIC/PARTITION such as payments/3; got "{text}"'
        raise Failure(message, Exit.USAGE)
    return topic, int(number) if slash else None


def _abort_id(
    connection: Connection, transactional_id: str, execute: bool, json_output: bool
) -> None:
    admin = connection.admin()
    found = find_transaction(connection, admin, transactional_id)
    if found.state in ENDED:
        raise Failure(f"transaction {transactional_id}: none is open, its state is {found.state}")
    if found.state != _ONGOING:
        raise Failure(
            f"transaction {transactional_id}: it is decided and being ended ({found.state}); if "
            "that takes long, look for partitions that are offline"
        )
    if execute:
        fence(connection, admin, found)
    if json_output:
        print_json(
            {
                "transactional_id": transactional_id,
                "producer_id": found.producer_id,
                "producer_epoch": found.producer_epoch,
                "partitions": found.partitions,
                "executed": execute,
            }
        )
    else:
        print_table(("TOPIC", "PARTITION"), found.partitions)
    if execute:
        note(f"transaction {transactional_id} is aborted, and its producer fenced")
    else:
        note("nothing was changed; --execute aborts it and fences its producer")


def _abort_hanging(
    connection: Connection,
    topic: str,
    number: int,
    producer_id: int,
    execute: bool,
    json_output: bool,
) -> None:
    admin = connection.admin()
    found = _hanging(connection, admin, topic, number, producer_id)
    if execute:
        abort_in_partition(connection, admin, found)
    if json_output:
        print_json(
            {
                "transactional_id": None,
                "producer_id": producer_id,
                "producer_epoch": found.producer_epoch,
                "partitions": [[topic, number]],
                "executed": execute,
            }
        )
    else:
        print_table(
            ("TOPIC", "PARTITION", "PRODUCER", "EPOCH", "OPEN FROM"),
            [(topic, number, producer_id, found.producer_epoch, found.open_from)],
        )
    if execute:
        note(f"{topic}/{number}: what was open of producer {producer_id} is aborted")
    else:
        note("nothing was changed; --execute aborts it, in this partition")


def _hanging(
    connection: Connection, admin: "AdminClient", topic: str, number: int, producer_id: int
) -> PartitionProducer:
    seen: list[PartitionProducer] = []
    for told in producers_of(connection, admin, topic, number):
        if isinstance(told, Failure):
            raise told
        if told.producer_id == producer_id:
            seen.append(told)
    for found, owner in with_owners(connection, admin, seen):
        if owner is not None:
            raise Failure(
                f"{topic}/{number}: this is the transaction of {owner}, which does not hang; "
                f"`headrace transaction abort {owner}`"
            )
        if found.open_from is not None:
            return found
    raise Failure(
        f"{topic}/{number}: producer {producer_id} has no open transaction there; "
        f"`headrace transaction producers {topic}/{number}`"
    )
