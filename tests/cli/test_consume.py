"""headrace consume."""

import signal
from typing import Any

import pytest

Cli = Any
Spawn = Any
Until = Any


@pytest.fixture
def five(cli: Cli) -> str:
    """A topic with the records 0 to 4, a second apart, in one partition."""
    lines = (
        f'{{"value": "{n}", "timestamp_ms": {1_700_000_000_000 + n * 1000}}}' for n in range(5)
    )
    cli("produce", "five", "--format", "json", stdin="\n".join(lines).encode())
    return "five"


def values(cli: Cli, *arguments: str) -> list[str]:
    lines: list[str] = cli("consume", *arguments, "--format", "value").lines
    return lines


STRETCHES: tuple[tuple[tuple[str, ...], str], ...] = (
    ((), "01234"),
    (("--from", "beginning"), "01234"),
    (("--from", "earliest", "--max", "2"), "01"),
    (("--from", "3"), "34"),
    (("--from", "latest"), ""),
    (("--from", "2023-11-14T22:13:22Z"), "234"),
    (("--from", "2023-11-14T23:13:22+01:00"), "234"),
    (("--from", "2023-11-14T22:13:22.001"), "34"),
    (("--from", "-1h"), ""),
    (("--until", "2"), "01"),
    (("--from", "1", "--until", "2023-11-14T22:13:23Z"), "12"),
    (("--from", "4", "--until", "2"), ""),
    (("--until", "99"), "01234"),
    (("-p", "0", "-n", "3"), "012"),
)


def test_a_stretch_of_a_topic_is_named_by_offset_or_time(cli: Cli, five: str) -> None:
    for arguments, expected in STRETCHES:
        assert "".join(values(cli, five, *arguments)) == expected, arguments


def test_an_offset_outside_is_moved_inside_and_told(cli: Cli, five: str) -> None:
    ran = cli("consume", five, "--from", "99")
    assert ran.stdout == b""
    assert "partition 0 has the offsets from 0 to 5: reading from 5 instead of 99" in ran.stderr


def test_json_says_everything_about_a_record(cli: Cli) -> None:
    line = b'{"key": "k", "value": null, "headers": {"h": "x"}, "timestamp_ms": 7}'
    cli("produce", "t", "--format", "json", stdin=line)
    assert cli("consume", "t", "--json").object == {
        "topic": "t",
        "partition": 0,
        "offset": 0,
        "timestamp_ms": 7,
        "key": "k",
        "value": None,
        "headers": [["h", "x"]],
    }


def test_text_is_for_people_and_cannot_steer_their_terminal(cli: Cli) -> None:
    line = (
        b'{"key": "k\\u001b[2J", "value": "a\\nb", "headers": {"h\\u0007": "x"}, "timestamp_ms": 7}'
    )
    cli("produce", "t", "--format", "json", stdin=line)
    assert cli("consume", "t").lines == [
        "1970-01-01T00:00:00.007Z  0:0  k\\x1b[2J  a\\nb  h\\x07=x"
    ]


def test_only_the_partitions_asked_for_are_read(cli: Cli) -> None:
    cli("topic", "create", "t", "-p", "3")
    for partition in "012":
        cli("produce", "t", "-p", partition, stdin=partition.encode())
    assert sorted(values(cli, "t")) == ["0", "1", "2"]
    assert sorted(values(cli, "t", "-p", "2", "-p", "0")) == ["0", "2"]
    refused = cli("consume", "t", "-p", "3", code=1)
    assert "topic t has 3 partitions, from 0 to 2; there is no 3" in refused.stderr


def test_a_group_goes_on_where_it_was(cli: Cli, five: str) -> None:
    assert values(cli, five, "--group", "g", "--max", "2") == ["0", "1"]
    assert values(cli, five, "--group", "g") == ["2", "3", "4"]
    assert values(cli, five, "--group", "g") == []
    cli("produce", five, stdin=b"5\n")
    assert values(cli, five, "--group", "g") == ["5"]


def test_a_new_group_can_begin_at_the_latest(cli: Cli, five: str) -> None:
    assert values(cli, five, "--group", "g", "--from", "latest") == []


def test_an_ephemeral_group_leaves_nothing_behind(cli: Cli, five: str, broker: Any) -> None:
    async def told(node: Any) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = await node.broker.catalog.group_configs.load_all()
        return found

    for _ in range(2):
        ran = cli("consume", five, "--ephemeral", "--format", "value")
        assert (ran.lines, ran.stderr) == (list("01234"), "")
    assert cli("group", "list", "--json").stdout == b""
    assert broker.call(told) == {}


def test_an_ephemeral_group_is_shown_while_it_reads(
    cli: Cli, spawn: Spawn, broker: Any, five: str
) -> None:
    child = spawn(
        *("consume", five, "--follow", "--format", "value", "--ephemeral"),
        bootstrap=broker.bootstrap,
    )
    assert child.process.stdout.read(10) == b"0\n1\n2\n3\n4\n"
    group = cli("group", "list", "--json").object
    assert group["group"].startswith("ephemeral-")
    child.signal(signal.SIGINT)
    ran = child.end()
    assert (ran.code, ran.stdout, ran.stderr) == (0, b"", "")
    assert cli("group", "list", "--json").stdout == b""


def test_a_broker_that_keeps_all_groups_is_named(
    cli: Cli, five: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Apache Kafka: it knows group configurations, and not this one.
    monkeypatch.setattr("headrace.cli.ephemeral.DURABLE", "some.other.name")
    stderr = cli("consume", five, "--ephemeral", code=1).stderr
    assert "--ephemeral: this broker keeps the progress of all groups (INVALID_CONFIG)" in stderr


WRONG: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--group", "g", "--from", "3"), "headrace group reset"),
    (("--group", "g", "--from", "-1h"), "headrace group reset"),
    (("--group", "g", "-p", "0"), "a group decides itself"),
    (("--ephemeral", "--from", "3"), "headrace group reset"),
    (("--ephemeral", "--group", "g"), "exclude each other"),
    (("--follow", "--until", "3"), "exclude each other"),
    (("--json", "--format", "text"), "exclude each other"),
    (("--from", "yesterday"), 'got "yesterday"'),
    (("--until", "+3"), 'got "+3"'),
    (("--max", "0"), "--max"),
)


def test_wrong_usage_is_told(cli: Cli, five: str) -> None:
    for arguments, message in WRONG:
        assert message in cli("consume", five, *arguments, code=2).stderr, arguments


def test_an_unknown_topic_is_named_and_not_created(cli: Cli) -> None:
    assert "topic nope: Unknown topic" in cli("consume", "nope", code=1).stderr
    assert "topic nope: Unknown topic" in cli("consume", "nope", "-g", "g", code=1).stderr
    assert cli("topic", "list", "--json").stdout == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_waits_for_more_and_ends_well_when_told(
    cli: Cli, spawn: Spawn, broker: Any, five: str, number: signal.Signals
) -> None:
    child = spawn(
        *("consume", five, "--follow", "--format", "value", "--group", "g"),
        bootstrap=broker.bootstrap,
    )
    assert child.process.stdout.read(10) == b"0\n1\n2\n3\n4\n"
    cli("produce", five, stdin=b"5\n")
    assert child.process.stdout.read(2) == b"5\n"
    child.signal(number)
    ran = child.end()
    assert (ran.code, ran.stdout, ran.stderr) == (0, b"", "")
    group = cli("group", "describe", "g", "--json").object
    assert (group["state"], group["lag"]) == ("Empty", 0)


def test_a_reader_that_has_enough_is_no_failure(cli: Cli, spawn: Spawn, broker: Any) -> None:
    cli("produce", "t", stdin=b"x\n" * 200_000)
    child = spawn("consume", "t", bootstrap=broker.bootstrap)
    assert child.process.stdout.read(10)
    child.process.stdout.close()
    assert child.process.wait(20) == 0
    assert child.process.stderr.read() == b""


def test_what_was_not_written_out_is_not_committed(cli: Cli, spawn: Spawn, broker: Any) -> None:
    cli("produce", "t", stdin=b"x\n" * 200_000)
    child = spawn("consume", "t", "--group", "g", bootstrap=broker.bootstrap)
    assert child.process.stdout.read(10)
    child.process.stdout.close()
    assert child.process.wait(20) == 0
    [partition] = cli("group", "describe", "g", "--json").object["partitions"]
    assert (partition["committed"] or 0) < 200_000
    assert partition["end"] == 200_000
