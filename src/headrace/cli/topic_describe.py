"""`headrace topic describe`: a topic's partitions, their offsets, what is kept, its configurations.

What must not enter: changing anything (`topic`).
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.connection import Connection
from headrace.cli.failure import reporting
from headrace.cli.offsets import describe_topics, ranges
from headrace.cli.options import Json, Topics, with_connection
from headrace.cli.output import count_text, print_json, print_table
from headrace.cli.topic_kept import Rule, ask_topic, kept_json, kept_lines

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ConfigEntry
    from confluent_kafka.admin._topic import TopicDescription

__all__ = ["describe"]

_Http = Annotated[
    str | None,
    typer.Option(
        "--http",
        metavar="HOST:PORT",
        help="Ask the broker's HTTP door too: what is kept until when, how long the disk lasts.",
    ),
]


@reporting
@with_connection
def describe(
    connection: Connection,
    topics: Topics,
    all_configs: Annotated[
        bool, typer.Option("--all-configs", help="Also configurations that have their default.")
    ] = False,
    http: _Http = None,
    json_output: Json = False,
) -> None:
    """Show partitions, offsets, what is kept and configurations."""
    admin = connection.admin()
    for index, description in enumerate(describe_topics(connection, admin, topics)):
        name = description.name
        configs = _configs(connection, admin, name)
        rule = Rule.of({name: entry.value or "" for name, entry in configs.items()})
        seen = None if http is None else ask_topic(http, name, connection.timeout_s)
        if not all_configs:
            configs = {n: entry for n, entry in configs.items() if _source(entry) != "default"}
        described = _described(connection, admin, description, configs)
        if json_output:
            print_json(described | kept_json(rule, seen))
            continue
        if index:
            print()
        _show(described, kept_lines(rule, seen), all_configs)


def _configs(connection: Connection, admin: "AdminClient", topic: str) -> "dict[str, ConfigEntry]":
    """The topic's configurations by name."""
    from confluent_kafka.admin import ConfigResource, ResourceType

    resource = ConfigResource(ResourceType.TOPIC, topic)
    future = admin.describe_configs([resource], request_timeout=connection.timeout_s)[resource]
    entries: dict[str, ConfigEntry] = connection.wait(future, f"configurations of {topic}")
    return dict(sorted(entries.items()))


def _source(entry: "ConfigEntry") -> str:
    from confluent_kafka.admin import ConfigSource

    names = {
        ConfigSource.DYNAMIC_TOPIC_CONFIG.value: "topic",
        ConfigSource.DYNAMIC_BROKER_CONFIG.value: "broker",
        ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG.value: "broker",
        ConfigSource.STATIC_BROKER_CONFIG.value: "broker",
        ConfigSource.DEFAULT_CONFIG.value: "default",
    }
    source = entry.source.value if isinstance(entry.source, ConfigSource) else entry.source
    return names.get(source, "unknown")


def _described(
    connection: Connection,
    admin: "AdminClient",
    topic: "TopicDescription",
    configs: "dict[str, ConfigEntry]",
) -> dict[str, Any]:
    offsets = ranges(connection, admin, [(topic.name, part.id) for part in topic.partitions])
    return {
        "topic": topic.name,
        "topic_id": str(topic.topic_id),
        "internal": topic.is_internal,
        "partitions": [
            {
                "partition": part.id,
                "leader": part.leader.id if part.leader is not None else None,
                "replicas": [node.id for node in part.replicas],
                "isr": [node.id for node in part.isr],
                "start": offsets[topic.name, part.id].start,
                "end": offsets[topic.name, part.id].end,
            }
            for part in topic.partitions
        ],
        "configs": {
            name: {"value": entry.value, "source": _source(entry)}
            for name, entry in configs.items()
        },
    }


def _show(topic: dict[str, Any], kept: list[str], all_configs: bool) -> None:
    parts = topic["partitions"]
    offsets = sum(part["end"] - part["start"] for part in parts)
    print(
        f"{topic['topic']}: {count_text(len(parts), 'partition')}, "
        f"{count_text(offsets, 'offset')} kept, id {topic['topic_id']}"
    )
    for line in kept:
        print(f"  {line}")
    print()
    headings = ("PARTITION", "LEADER", "REPLICAS", "IN SYNC", "START", "END", "KEPT")
    print_table(
        headings,
        (
            (
                part["partition"],
                part["leader"],
                ",".join(map(str, part["replicas"])),
                ",".join(map(str, part["isr"])),
                part["start"],
                part["end"],
                part["end"] - part["start"],
            )
            for part in parts
        ),
    )
    if topic["configs"]:
        print()
        configs = topic["configs"].items()
        print_table(
            ("CONFIGURATION", "VALUE", "SET BY"),
            [(name, entry["value"], entry["source"]) for name, entry in configs],
        )
    elif not all_configs:
        print("\nevery configuration has its default (--all-configs shows them)")
