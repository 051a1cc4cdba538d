"""`headrace topic`: create, list, describe, alter, delete.

With --json one object a line, with these keys:

    create    topic, created (false: it was there), partitions (null: the broker's default)
    list      topic, partitions, replicas
    describe  topic, topic_id, internal, partitions [partition, leader, replicas, isr, start, end],
              configs {name: {value, source}},
              retention {deletes, compacts, ms, bytes_per_partition}; -1: no bound
    alter     topic, configs (what was set; null: unset), partitions (null: as they were)
    delete    topic, deleted

`describe` with --http also has size_bytes, written_bytes_per_s, oldest_ms, kept_until_ms (the
earliest time at which the oldest record may go by its age) and
volume {size_bytes, free_bytes, written_bytes_per_s, lasts_s}; null for what is not known.

What must not enter: anything that only Headrace would understand, but for what --http asks
(`topic_kept`).
"""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.connection import Connection
from headrace.cli.deletion import report_deleted
from headrace.cli.failure import Exit, Failure, also, note, reporting
from headrace.cli.offsets import describe_topics
from headrace.cli.options import (
    Json,
    Topic,
    Topics,
    Yes,
    command_group,
    confirm,
    name_values,
    with_connection,
)
from headrace.cli.output import count_text, print_json, print_table
from headrace.cli.topic_describe import describe

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["app"]

app = command_group("Create, look at, change and delete topics.")
app.command("describe")(describe)

_BROKER_DEFAULT: Final = -1
_INTERNAL_PREFIX: Final = "__"

_Config = Annotated[
    list[str] | None,
    typer.Option("--config", "-c", metavar="NAME=VALUE", help="Set a configuration (repeatable)."),
]


@app.command("create")
@reporting
@with_connection
def create(
    connection: Connection,
    topics: Topics,
    partitions: Annotated[
        int | None,
        typer.Option("--partitions", "-p", min=1, help="Default: the broker's."),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option("--replication", min=1, help="Copies. Default: the broker's."),
    ] = None,
    config: _Config = None,
    if_not_exists: Annotated[
        bool, typer.Option("--if-not-exists", help="A topic that is there is no failure.")
    ] = False,
    json_output: Json = False,
) -> Exit:
    """Create topics."""
    configs = name_values(config, "--config")
    admin = connection.admin()
    from confluent_kafka.admin import NewTopic

    wanted = [
        NewTopic(
            name,
            num_partitions=partitions or _BROKER_DEFAULT,
            replication_factor=replication or _BROKER_DEFAULT,
            config=configs,
        )
        for name in dict.fromkeys(topics)
    ]
    futures = admin.create_topics(wanted, request_timeout=connection.timeout_s)
    code = Exit.OK
    for name, future in futures.items():
        try:
            connection.wait(future, f"create topic {name}")
            created = True
        except Failure as failure:
            created = False
            if not (if_not_exists and failure.reason == "TOPIC_ALREADY_EXISTS"):
                code = also(failure)
                continue
        if json_output:
            print_json({"topic": name, "created": created, "partitions": partitions})
        elif created:
            shown = f" ({count_text(partitions, 'partition')})" if partitions else ""
            print(f"created topic {name}{shown}")
        else:
            print(f"topic {name} exists already")
    return code


@app.command("list")
@reporting
@with_connection
def list_(
    connection: Connection,
    internal: Annotated[
        bool, typer.Option("--internal", help="Also the broker's own, named __...")
    ] = False,
    json_output: Json = False,
) -> None:
    """List topics."""
    found = connection.metadata(connection.admin(), None).topics
    rows = [
        (name, len(topic.partitions), max(map(_replicas, topic.partitions.values()), default=0))
        for name, topic in sorted(found.items())
        if internal or not name.startswith(_INTERNAL_PREFIX)
    ]
    if json_output:
        for name, partitions, replicas in rows:
            print_json({"topic": name, "partitions": partitions, "replicas": replicas})
    elif rows:
        print_table(("TOPIC", "PARTITIONS", "REPLICAS"), rows)
    else:
        note("no topics; create one with `headrace topic create NAME`")


@app.command("alter")
@reporting
@with_connection
def alter(
    connection: Connection,
    topic: Topic,
    config: _Config = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="NAME", help="Back to the default (repeatable)."),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option("--partitions", "-p", min=1, help="The new number; it can only grow."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Change a topic's configurations or add partitions."""
    changes: dict[str, str | None] = dict(name_values(config, "--config"))
    for name in unset or []:
        if name in changes:
            raise Failure(f"{name} is both set and unset", Exit.USAGE)
        changes[name] = None
    if not changes and partitions is None:
        raise Failure("nothing to change: say --config, --unset or --partitions", Exit.USAGE)
    admin = connection.admin()
    describe_topics(connection, admin, [topic])  # a topic that is not there is told as such
    if changes:
        _alter_configs(connection, admin, topic, changes)
    if partitions is not None:
        _add_partitions(connection, admin, topic, partitions)
        note(
            f"records with a key that are written from now on may go to another of {topic}'s "
            "partitions than before: the order of a key holds on either side of this moment"
        )
    if json_output:
        print_json({"topic": topic, "configs": changes, "partitions": partitions})
        return
    for name, value in changes.items():
        print(f"{topic}: {name} is unset" if value is None else f"{topic}: {name}={value}")
    if partitions is not None:
        print(f"{topic}: {count_text(partitions, 'partition')}")


@app.command("delete")
@reporting
@with_connection
def delete(
    connection: Connection, topics: Topics, yes: Yes = False, json_output: Json = False
) -> Exit:
    """Delete topics and every record in them."""
    confirm(f"Delete {', '.join(topics)} and every record in it?", yes)
    admin = connection.admin()
    futures = admin.delete_topics(list(dict.fromkeys(topics)), request_timeout=connection.timeout_s)
    return report_deleted(connection, "topic", futures, json_output=json_output)


def _replicas(partition: Any) -> int:
    return len(partition.replicas)


def _alter_configs(
    connection: Connection, admin: "AdminClient", topic: str, changes: dict[str, str | None]
) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entries = [
        ConfigEntry(
            name,
            value,
            incremental_operation=(
                AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
            ),
        )
        for name, value in changes.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    futures = admin.incremental_alter_configs([resource], request_timeout=connection.timeout_s)
    connection.wait(futures[resource], f"alter topic {topic}")


def _add_partitions(
    connection: Connection, admin: "AdminClient", topic: str, partitions: int
) -> None:
    from confluent_kafka.admin import NewPartitions

    futures = admin.create_partitions(
        [NewPartitions(topic, partitions)], request_timeout=connection.timeout_s
    )
    connection.wait(futures[topic], f"add partitions to {topic}")
