"""`headrace streams` and `consume --show-stream`, as their user meets them."""

from collections.abc import Callable
from typing import Any

import pytest

from headrace.cli.stream_check import StreamCheck
from headrace.testing import RunningBroker
from headrace.wire.batch import BatchHeader, peek
from headrace.wire.records import Record, build_batch

Cli = Callable[..., Any]


class _Door:
    def durable(self, messages: int) -> None: ...
    def caught_up(self) -> None: ...
    def failed(self, error: Any) -> None: ...
    def close_asked(self, grace_ms: int) -> None: ...


def opened(
    broker: RunningBroker, topic: str = "t", values: tuple[bytes, ...] = (b"a", b"b")
) -> Any:
    async def open_(node: Any) -> Any:
        stream = await node.broker.streams.open(topic, _Door(), client="me:1")
        stream.append(values)
        stream.append(values)
        await stream.drain()
        return stream

    return broker.call(open_)


def test_streams_are_listed_described_and_drained(
    broker: RunningBroker, cli: Cli, http_door: str
) -> None:
    http = ("--http", http_door)
    assert "no open streams" in cli("streams", "list", *http).stderr
    stream = opened(broker)
    assert stream.id in cli("streams", "list", *http).text
    shown = cli("streams", "list", *http, "--topic", "t", "--json").object
    assert (shown["stream_id"], shown["records"]) == (stream.id, 4)
    assert "me:1" in cli("streams", "describe", stream.id, *http).text
    assert "no such stream" in cli("streams", "describe", "none", *http, code=1).stderr
    assert "1 stream asked to close" in cli("streams", "drain", stream.id, *http).text
    assert "closing" in cli("streams", "list", *http).text
    assert cli("streams", "drain", "--topic", "t", *http, "--json").object == {"asked": 1}
    cli("streams", "drain", *http, code=2)


def test_consume_shows_who_sent_a_record_and_as_which(broker: RunningBroker, cli: Cli) -> None:
    stream = opened(broker)
    cli("produce", "t", stdin=b"c\n")
    producer = stream.kind.producer_id
    shown = cli("consume", "t", "--show-stream", "--json").objects
    assert [record["stream"] for record in shown][:4] == [f"{producer}:0:{n}" for n in range(4)]
    assert [record["value"] for record in shown] == ["a", "b", "a", "b", "c"]
    assert f"0:3  {producer}:0:3  null  b" in cli("consume", "t", "--show-stream").text
    part = cli("consume", "t", "--show-stream", "--from", "1", "--until", "3", "--json").objects
    assert [record["offset"] for record in part] == [1, 2]
    assert len(cli("consume", "t", "--show-stream", "--max", "3").lines) == 3
    cli("consume", "t", "--show-stream", "--group", "g", code=2)


def test_verify_proves_a_topic_from_its_log(broker: RunningBroker, cli: Cli) -> None:
    broker.create_topic("t", partitions=3)
    for _ in range(5):
        opened(broker)
    assert "5 streams, 20 records in 3 partitions: gapless" in cli("streams", "verify", "t").text
    told = cli("streams", "verify", "t", "--json").object
    assert (told["streams"], told["records"], told["faults"]) == (5, 20, 0)


def test_verify_names_a_gap(broker: RunningBroker, cli: Cli) -> None:
    stream = opened(broker)

    async def skip(_: Any) -> None:
        del stream.lane.partition.log.producer_table._producers[stream.kind.producer_id]
        stream.next_sequence += 3
        stream.append([b"late"])
        await stream.drain()

    broker.call(skip)
    ran = cli("streams", "verify", "t", code=1)
    assert f"offset 4: producer {stream.kind.producer_id} sequence 7, expected 4" in ran.text
    assert cli("streams", "verify", "t", "--json", code=1).objects[0]["offset"] == 4


def header(sequence: int, records: int = 2, epoch: int = 0) -> BatchHeader:
    built = build_batch(
        [Record(value=b"x")] * records,
        producer_id=9,
        producer_epoch=epoch,
        base_sequence=sequence,
    )
    return peek(built)


HOLE = header(0)._replace(producer_id=-1, records_count=0)


@pytest.mark.parametrize(
    ("headers", "log_start", "faults"),
    [
        ([header(0), header(2), header(4)], 0, 0),
        ([header(0), header(4)], 0, 1),
        ([header(0), header(0)], 0, 1),
        ([header(0), header(2, epoch=1)], 0, 1),
        ([header(0), header(0, epoch=1)], 0, 0),
        ([header(0, epoch=1), header(2, epoch=0)], 0, 1),
        ([header(8)], 0, 1),
        ([header(8)], 100, 0),
        ([header(2**31 - 2), header(0)], 100, 0),
        ([header(0), HOLE, header(4)], 0, 0),
        ([header(0), HOLE, header(4, epoch=1), header(6, epoch=0)], 0, 1),
    ],
)
def test_gaps_repeats_and_disorder_are_faults(
    headers: list[BatchHeader], log_start: int, faults: int
) -> None:
    check = StreamCheck()
    for each in headers:
        check.add(0, each, log_start=log_start)
    assert check.faults_count == faults
