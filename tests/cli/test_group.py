"""headrace group."""

import socket
from typing import Any

import pytest
from confluent_kafka import Consumer

Cli = Any
Spawn = Any


@pytest.fixture
def group(cli: Cli) -> str:
    """A group that has read 2 of the 5 records of t's partition 0, and 1 of 1 of partition 1."""
    cli("topic", "create", "t", "-p", "2")
    cli("produce", "t", "-p", "0", stdin=b"0\n1\n")
    cli("produce", "t", "-p", "1", stdin=b"0\n")
    cli("consume", "t", "--group", "g")
    cli("produce", "t", "-p", "0", stdin=b"2\n3\n4\n")
    return "g"


def moves(ran: Any) -> list[tuple[int, int | None, int]]:
    return [(part["partition"], part["old"], part["new"]) for part in ran.object["partitions"]]


def test_groups_are_listed(cli: Cli, group: str) -> None:
    assert cli("group", "list", "--json").object == {
        "group": "g",
        "state": "Empty",
        "type": "classic",
    }
    assert cli("group", "list").lines == ["GROUP  STATE  TYPE", "g      Empty  classic"]


def test_no_groups_is_no_failure(cli: Cli) -> None:
    assert "no groups" in cli("group", "list").stderr


def test_lag_is_told_per_partition(cli: Cli, group: str) -> None:
    described = cli("group", "describe", group, "--json").object
    assert described.keys() == {
        *("group", "state", "type", "assignor", "coordinator", "lag", "members", "partitions"),
        "configs",
    }
    assert (described["state"], described["lag"], described["members"]) == ("Empty", 3, [])
    assert described["partitions"] == [
        {
            "topic": "t",
            "partition": number,
            "committed": committed,
            "start": 0,
            "end": end,
            "lag": end - committed,
            "member_id": None,
        }
        for number, committed, end in ((0, 2, 5), (1, 1, 1))
    ]
    lines = cli("group", "describe", group).lines
    assert lines[0].startswith("g: Empty, 0 members, lag 3 (")
    assert lines[3].split() == ["t", "0", "2", "0", "5", "3", "-"]


def test_a_live_group_shows_who_reads_what_and_is_not_moved_or_deleted(
    cli: Cli, spawn: Spawn, broker: Any, until: Any, group: str
) -> None:
    child = spawn("consume", "t", "--group", group, "--follow", bootstrap=broker.bootstrap)

    def stable() -> Any:
        described = cli("group", "describe", group, "--json").object
        return described if described["state"] == "Stable" and described["lag"] == 0 else None

    described = until(stable, "a stable group without lag")
    [member] = described["members"]
    assert member.keys() == {
        "member_id",
        "client_id",
        "host",
        "instance_id",
        "partitions",
        "protocol",
    }
    assert member["protocol"] == "classic"
    assert member["partitions"] == [["t", 0], ["t", 1]]
    assert {part["member_id"] for part in described["partitions"]} == {member["member_id"]}
    assert "headrace-cli" in cli("group", "describe", group).lines[-1]

    shown = cli("group", "reset", group, "--to", "earliest")
    assert "it would be refused now: group g is Stable with 1 member" in shown.stderr
    refused = cli("group", "reset", group, "--to", "earliest", "--execute", code=1)
    assert (
        "group g is Stable with 1 member; stop them first, or fence them with --live"
        in refused.stderr
    )
    assert refused.stdout == b""
    assert "NON_EMPTY_GROUP" in cli("group", "delete", group, "--yes", code=1).stderr
    child.process.terminate()
    assert child.end().code == 0


def test_a_live_group_is_moved_when_it_is_asked_for(
    cli: Cli, spawn: Spawn, broker: Any, until: Any, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = spawn(
        *("consume", "t", "--group", group, "--follow", "--format", "value"),
        bootstrap=broker.bootstrap,
    )
    stdout = child.process.stdout
    assert sorted(stdout.readline() for _ in range(3)) == [b"2\n", b"3\n", b"4\n"]
    shown = cli("group", "reset", group, "--to", "earliest", "--live")
    assert "fences the members: group g is Stable with 1 member" in shown.stderr
    with monkeypatch.context() as another:  # as Apache Kafka: it knows no such configuration
        another.setattr("headrace.cli.group_reset.RESET_UNTIL_MS", "some.other.name")
        command = ("group", "reset", group, "--to", "earliest", "--live", "--execute")
        refused = cli(*command, code=1)
    assert "moves groups only while they have no members (INVALID_CONFIG)" in refused.stderr
    cli("group", "reset", group, "--to", "earliest", "--live", "--execute", "-t", "t:0")
    assert [stdout.readline() for _ in range(5)] == [b"%d\n" % number for number in range(5)]
    child.process.terminate()
    assert child.end().code == 0

    async def told(node: Any) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = await node.broker.catalog.group_configs.load_all()
        return found

    assert broker.call(told) == {}


def test_a_reset_is_only_shown_until_it_is_asked_for(cli: Cli, group: str) -> None:
    shown = cli("group", "reset", group, "--to", "earliest", "--json")
    assert shown.object["executed"] is False
    assert moves(shown) == [(0, 2, 0), (1, 1, 0)]
    assert "--execute does it" in shown.stderr
    assert cli("group", "describe", group, "--json").object["lag"] == 3
    done = cli("group", "reset", group, "--to", "earliest", "--execute", "--json")
    assert done.object["executed"] is True
    assert moves(done) == moves(shown)
    assert cli("group", "describe", group, "--json").object["lag"] == 6


PLACES = (
    ("latest", [5, 1]),
    ("beginning", [0, 0]),
    ("1", [1, 1]),
    ("4", [4, 1]),
    ("+2", [4, 1]),
    ("-1", [1, 0]),
    ("-100", [0, 0]),
    ("2001-01-01", [0, 0]),
    ("-1h", [0, 0]),
    ("2999-01-01T00:00Z", [5, 1]),
)


def test_a_group_can_be_put_anywhere_there_are_records(cli: Cli, group: str) -> None:
    for to, new in PLACES:
        ran = cli("group", "reset", group, "--to", to, "--json")
        assert [move[2] for move in moves(ran)] == new, to


def test_single_topics_and_partitions_can_be_reset(cli: Cli, group: str) -> None:
    cli("produce", "other", stdin=b"a\nb\n")
    assert moves(cli("group", "reset", group, "--to", "0", "-t", "t:1", "--json")) == [(1, 1, 0)]
    ran = cli("group", "reset", group, "--to", "latest", "-t", "other", "--execute", "--json")
    assert moves(ran) == [(0, None, 2)]
    described = cli("group", "describe", group, "--json").object
    assert [(part["topic"], part["committed"]) for part in described["partitions"]] == [
        ("other", 2),
        ("t", 2),
        ("t", 1),
    ]


def test_a_group_that_is_yet_to_come_can_be_placed(cli: Cli, group: str) -> None:
    cli("group", "reset", "new", "--to", "4", "-t", "t:0", "--execute")
    assert cli("consume", "t", "-g", "new", "--format", "value").lines.count("4") == 1


NONSENSE: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("g", "--to", "soon"), 2, 'got "soon"'),
    (("g", "--to", "0", "-t", "t:x"), 2, "such as t:0,2"),
    (("g", "--to", "0", "-t", "nope"), 1, "topic nope: there is no such topic"),
    (("g", "--to", "0", "-t", "t:2"), 1, "no partition 2, they end at 1"),
    (("g", "--to", "+1", "-t", "other"), 1, "nothing to shift from"),
    (("nope", "--to", "0"), 1, "group nope: there is no such group"),
)


def test_a_reset_that_makes_no_sense_is_refused(cli: Cli, group: str) -> None:
    cli("topic", "create", "other")
    for arguments, code, message in NONSENSE:
        assert message in cli("group", "reset", *arguments, code=code).stderr, arguments


def test_a_group_outlives_a_topic_it_has_read(cli: Cli, group: str) -> None:
    cli("topic", "delete", "t", "--yes")
    cli("produce", "other", stdin=b"a\n")
    cli("consume", "other", "-g", group)
    described = cli("group", "describe", group, "--json").object
    known = {part["topic"]: part["lag"] for part in described["partitions"]}
    assert known["other"] == 0
    assert known.get("t") is None


def test_deleted_groups_are_gone_and_unknown_ones_are_named(cli: Cli, group: str) -> None:
    assert "--yes" in cli("group", "delete", group, code=2).stderr
    assert cli("group", "delete", group, "-y", "--json").object == {"group": "g", "deleted": True}
    assert "GROUP_ID_NOT_FOUND" in cli("group", "delete", group, "-y", code=1).stderr
    assert "group g: there is no such group" in cli("group", "describe", group, code=1).stderr


def test_the_broker_is_asked_for_what_kafka_cannot_say(
    cli: Cli, group: str, http_door: str
) -> None:
    described = cli("group", "describe", group, "--http", http_door, "--json").object
    assert described["lag_s"] >= 0
    assert described["stuck"] == []
    shown = cli("group", "describe", group, "--http", http_door)
    assert "STUCK" not in shown.text
    assert "the oldest record to be read is " in shown.text


def test_stuck_members_are_named(
    cli: Cli, group: str, http_door: str, broker: Any, until: Any
) -> None:
    watch = broker.node.broker.stuck
    watch.patience_ms = 1
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": group, "enable.auto.commit": False}
    )
    consumer.subscribe(["t"])
    try:
        until(lambda: consumer.poll(0.1) or consumer.assignment(), "an assignment")

        async def look(_: Any) -> None:
            await watch.look()

        def stuck() -> list[Any]:
            broker.call(look)
            asked = ("group", "describe", group, "--http", http_door)
            found: list[Any] = cli(*asked, "--json").object["stuck"]
            return found if "STUCK: " in cli(*asked).text else []

        (member,) = until(stuck, "a stuck member")
        assert member["stuck_for_s"] > 0
    finally:
        consumer.close()


def test_an_http_door_that_does_not_answer_is_a_failure(cli: Cli, group: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ran = cli("group", "describe", group, "--http", f"127.0.0.1:{port}", code=1)
    assert "cannot be asked" in ran.stderr
    assert "expected HOST:PORT" in cli("group", "describe", group, "--http", "x", code=1).stderr
