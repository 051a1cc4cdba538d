"""`headrace streams`: list, describe, drain, verify.

With --json one object a line, with these keys:

    list      as `/streams` of the HTTP door has them
    describe  the same, of one stream
    drain     asked (how many streams were asked to close)
    verify    topic, partitions, streams, records, anonymous_records, compacted_partitions, faults,
              and before it one line for each fault: partition, producer_id, offset, what

`list`, `describe` and `drain` ask the broker's HTTP door; `verify` reads the log as any Kafka
client may. What must not enter: how a stream is judged (`stream_check`).
"""

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode

import typer

from headrace.cli.connection import Connection
from headrace.cli.failure import Exit, Failure, note, reporting
from headrace.cli.http_door import ask_door, not_as_headrace
from headrace.cli.offsets import describe_topics, ranges
from headrace.cli.options import Json, Topic, command_group, with_connection
from headrace.cli.output import bytes_text, count_text, print_json, print_table
from headrace.cli.plain_requests import PlainRequests
from headrace.cli.raw_fetch import fetch_batches
from headrace.cli.show_stream import plain_leaders
from headrace.cli.stream_check import StreamCheck

if TYPE_CHECKING:
    from confluent_kafka.admin._topic import TopicDescription

__all__ = ["app"]

app = command_group("Look at ingest streams, send them elsewhere, check what they wrote.")

_HEADINGS: Final = (
    *("STREAM", "TOPIC", "PARTITION", "PRODUCER", "CLIENT", "RECORDS", "BYTES", "IN FLIGHT"),
    "STATE",
)
_TIMEOUT_S: Final = 10.0

_Http = Annotated[str, typer.Option("--http", metavar="HOST:PORT", help="The broker's HTTP door.")]
_OfTopic = Annotated[str | None, typer.Option("--topic", "-t", help="Only of this topic.")]
_HTTP_DEFAULT: Final = "127.0.0.1:9080"


@app.command("list")
@reporting
def list_(http: _Http = _HTTP_DEFAULT, topic: _OfTopic = None, json_output: Json = False) -> Exit:
    """List open streams."""
    found = _ask(http, {"topic": topic})
    if json_output:
        for stream in found["streams"]:
            print_json(stream)
        return Exit.OK
    if found["streams"]:
        print_table(_HEADINGS, [_row(stream) for stream in found["streams"]])
    else:
        note("no open streams")
    for each in found["topics"]:
        active = sum(part["active"] for part in each["partitions"])
        rate = sum(part["bytes_per_s"] for part in each["partitions"])
        note(
            f"{each['topic']}: {active} of {count_text(len(each['partitions']), 'partition')} "
            f"active, {bytes_text(rate)}/s{', elastic' if each['elastic'] else ''}"
        )
    return Exit.OK


@app.command("describe")
@reporting
def describe(
    stream: Annotated[str, typer.Argument(metavar="STREAM")],
    http: _Http = _HTTP_DEFAULT,
    json_output: Json = False,
) -> Exit:
    """Everything about one open stream."""
    [found] = _ask(http, {"stream": stream})["streams"]
    if json_output:
        print_json(found)
    else:
        for name, value in found.items():
            print(f"{name + ':':<18} {value}")
    return Exit.OK


@app.command("drain")
@reporting
def drain(
    stream: Annotated[str | None, typer.Argument(metavar="[STREAM]")] = None,
    topic: Annotated[str | None, typer.Option("--topic", "-t", help="All of this topic.")] = None,
    partition: Annotated[
        int | None,
        typer.Option(
            "--partition",
            "-p",
            min=0,
            help="Of the topic, only those of this one; if the topic is elastic, it is retired.",
        ),
    ] = None,
    http: _Http = _HTTP_DEFAULT,
    json_output: Json = False,
) -> Exit:
    """Ask streams to close; their producers open new ones, which may go elsewhere."""
    if (stream is None) == (topic is None) or (partition is not None and topic is None):
        raise Failure("say which STREAM, or --topic and perhaps --partition", Exit.USAGE)
    query = _query({"stream": stream, "topic": topic, "partition": partition})
    answer = ask_door(http, f"/streams/drain{query}", "streams", _TIMEOUT_S, method="POST")
    if json_output:
        print_json(answer)
    else:
        print(f"{count_text(answer['asked'], 'stream')} asked to close")
    return Exit.OK


@app.command("verify")
@reporting
@with_connection
def verify(connection: Connection, topic: Topic, json_output: Json = False) -> Exit:
    """Prove from the log alone that every stream of a topic is gapless and in order."""
    admin = connection.admin()
    [description] = describe_topics(connection, admin, [topic])
    check = _read(
        connection,
        description,
        ranges(connection, admin, [(topic, part.id) for part in description.partitions]),
    )
    for fault in check.faults:
        if json_output:
            print_json(fault._asdict())
        else:
            print(
                f"partition {fault.partition}, offset {fault.offset}: "
                f"producer {fault.producer_id} {fault.what}"
            )
    told = {
        "topic": topic,
        "partitions": len(description.partitions),
        "streams": len(check.streams),
        "records": sum(seen.records for seen in check.streams.values()),
        "anonymous_records": check.anonymous_records,
        "compacted_partitions": len(check.compacted),
        "faults": check.faults_count,
    }
    if json_output:
        print_json(told)
    else:
        _tell(told)
    if check.faults_count:
        raise Failure(f"topic {topic}: {count_text(check.faults_count, 'fault')}")
    return Exit.OK


def _tell(told: dict[str, Any]) -> None:
    partitions = count_text(told["partitions"], "partition")
    print(
        f"{told['topic']}: {count_text(told['streams'], 'stream')}, "
        f"{count_text(told['records'], 'record')} in {partitions}: "
        + ("gapless and in order" if not told["faults"] else count_text(told["faults"], "fault"))
    )
    if told["anonymous_records"]:
        print(f"{count_text(told['anonymous_records'], 'record')} more without a producer id")
    if told["compacted_partitions"]:
        compacted = count_text(told["compacted_partitions"], "partition")
        print(f"{compacted} with batches that compaction removed: gaps there cannot be told")


def _read(
    connection: Connection, description: "TopicDescription", found: dict[tuple[str, int], Any]
) -> StreamCheck:
    check = StreamCheck()
    leaders = plain_leaders(connection, description)
    for (topic, number), (start, end) in found.items():
        offset = start
        with PlainRequests(*leaders[number], connection.timeout_s) as requests:
            while offset < end:
                before = offset
                for header, _ in fetch_batches(requests, topic, number, offset):
                    check.add(number, header, log_start=start)
                    offset = header.next_offset
                if offset == before:
                    break
    return check


def _ask(http: str, query: dict[str, str | None]) -> dict[str, Any]:
    found = ask_door(http, f"/streams{_query(query)}", "streams", _TIMEOUT_S)
    if not isinstance(found, dict) or not {"streams", "topics"} <= found.keys():
        raise not_as_headrace(http)
    return found


def _query(query: dict[str, Any]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _row(stream: dict[str, Any]) -> tuple[object, ...]:
    state = "closing" if stream["closing"] else "behind" if stream["behind"] else "open"
    return (
        *(stream["stream_id"], stream["topic"], stream["partition"], stream["producer_id"]),
        *(stream["client"], stream["records"], bytes_text(stream["bytes"])),
        *(bytes_text(stream["in_flight_bytes"]), state),
    )
