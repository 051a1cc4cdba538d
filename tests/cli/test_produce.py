"""headrace produce."""

import json
from pathlib import Path
from typing import Any

import pytest
from kafka.partitioner.default import murmur2

Cli = Any


def consumed(cli: Cli, topic: str) -> list[Any]:
    return cli("consume", topic, "--json").objects


def test_every_line_is_a_record(cli: Cli) -> None:
    ran = cli("produce", "t", stdin=b"one\n\ntwo \xff\r\nlast", code=0)
    assert ran.text.startswith("produced 4 records (13 B) to t in ")
    assert [record["value"] for record in consumed(cli, "t")] == [
        "one",
        "",
        {"base64": "dHdvIP8N"},
        "last",
    ]


def test_a_line_may_begin_with_its_key(cli: Cli) -> None:
    cli("produce", "t", "-K", "::", "-H", "source=test", stdin=b"a::1\nb::2::3\n::4\n")
    assert [(r["key"], r["value"], r["headers"]) for r in consumed(cli, "t")] == [
        ("a", "1", [["source", "test"]]),
        ("b", "2::3", [["source", "test"]]),
        ("", "4", [["source", "test"]]),
    ]


def test_all_records_can_have_one_key_and_one_partition(cli: Cli) -> None:
    cli("topic", "create", "t", "-p", "3")
    cli("produce", "t", "--key", "k", "--partition", "2", stdin=b"1\n2\n")
    assert [(r["partition"], r["key"]) for r in consumed(cli, "t")] == [(2, "k"), (2, "k")]


def test_a_key_goes_where_kafkas_own_clients_send_it(cli: Cli) -> None:
    cli("topic", "create", "t", "-p", "7")
    keys = [f"key-{number}" for number in range(50)]
    cli("produce", "t", "-K", "=", stdin="".join(f"{key}=x\n" for key in keys).encode())
    found = {record["key"]: record["partition"] for record in consumed(cli, "t")}
    assert found == {key: (murmur2(key.encode()) & 0x7FFFFFFF) % 7 for key in keys}


def test_what_consume_writes_as_json_produce_reads(cli: Cli) -> None:
    records = [
        {"key": "k", "value": "v", "headers": [["h", "1"], ["h", None]], "timestamp_ms": 5},
        {"key": None, "value": {"base64": "//4="}, "partition": 1, "timestamp_ms": 6},
        {"key": {"base64": "gA=="}, "value": None, "headers": [], "timestamp_ms": 7},
    ]
    cli("topic", "create", "one", "-p", "2")
    cli("topic", "create", "two", "-p", "2")
    lines = "\n".join(json.dumps(record) for record in records).encode()
    cli("produce", "one", "--format", "json", stdin=lines + b"\n\n")
    first = cli("consume", "one", "--json")
    cli("produce", "two", "--format", "json", stdin=first.stdout)

    def placed(found: list[Any]) -> list[Any]:
        return sorted(
            ({**record, "topic": ""} for record in found),
            key=lambda record: (record["partition"], record["offset"]),
        )

    assert placed(consumed(cli, "two")) == placed(first.objects)
    assert sorted(record["timestamp_ms"] for record in first.objects) == [5, 6, 7]
    assert next(r for r in first.objects if r["key"] == "k")["headers"] == [["h", "1"], ["h", None]]


def test_a_json_value_that_is_no_text_stands_for_its_own_text(cli: Cli) -> None:
    cli("produce", "t", "--format", "json", stdin=b'{"key": 7, "value": {"delay": [1, 2]}}')
    [record] = consumed(cli, "t")
    assert (record["key"], record["value"]) == ("7", '{"delay":[1,2]}')


@pytest.mark.parametrize(
    ("arguments", "lines", "message"),
    [
        (("-K", ":"), b"a:1\nb", 'line 2: no ":" between a key and a value'),
        (("--format", "json"), b'{"value": "1"}\n{', "line 2: not JSON"),
        (("--format", "json"), b'{"value": "1"}\n[]', "line 2: expected an object"),
        (("--format", "json"), b'{"value": "1"}\n{"val": 1}', 'line 2: unknown key "val"'),
        (("--format", "json"), b'{"value": "1"}\n{"partition": 9}', "line 2: "),
    ],
)
def test_a_line_that_cannot_be_read_ends_it_and_is_named(
    cli: Cli, arguments: tuple[str, ...], lines: bytes, message: str
) -> None:
    ran = cli("produce", "t", *arguments, "--json", stdin=lines, code=1)
    assert f"headrace: {message}" in ran.stderr
    assert ran.object["produced"] == 1
    assert len(consumed(cli, "t")) == 1


def test_the_summary_is_one_object(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"12345\n" * 1000)
    summary = cli("produce", "t", "--file", str(file), "--compression", "lz4", "--json").object
    assert summary.keys() == {"topic", "produced", "failed", "bytes", "seconds", "records_per_s"}
    assert (summary["topic"], summary["produced"], summary["failed"]) == ("t", 1000, 0)
    assert summary["bytes"] == 5000
    assert summary["records_per_s"] > 0


@pytest.mark.parametrize("acks", ["all", "1", "0"])
def test_every_kind_of_acknowledgement_writes(cli: Cli, acks: str) -> None:
    assert cli("produce", "t", "--acks", acks, "--json", stdin=b"x\n").object["produced"] == 1
    assert len(consumed(cli, "t")) == 1


def test_a_record_the_broker_refuses_is_counted_and_explained(cli: Cli) -> None:
    cli("topic", "create", "t", "-c", "max.message.bytes=1000")
    ran = cli("produce", "t", "--json", stdin=b"x" * 2000 + b"\n", code=1)
    assert ran.object["failed"] == 1
    assert "1 record not acknowledged" in ran.stderr
    assert "MSG_SIZE_TOO_LARGE" in ran.stderr


def test_wrong_usage_is_told_before_anything_is_written(cli: Cli, tmp_path: Path) -> None:
    cli("topic", "create", "t", "-p", "2")
    assert "exclude" in cli("produce", "t", "-k", "a", "-K", ":", code=2).stderr
    assert "own key" in cli("produce", "t", "-k", "a", "--format", "json", code=2).stderr
    assert "NAME=VALUE" in cli("produce", "t", "-H", "x", code=2).stderr
    assert "one character" in cli("produce", "t", "-K", "", code=2).stderr
    assert "from 0 to 1" in cli("produce", "t", "-p", "2", stdin=b"x", code=1).stderr
    missing = cli("produce", "t", "-f", str(tmp_path / "missing"), code=1)
    assert "No such file" in missing.stderr
    assert "TOPIC_EXCEPTION" in cli("produce", "no/name", stdin=b"x", code=1).stderr
    assert consumed(cli, "t") == []
