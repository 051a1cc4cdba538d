"""headrace topic."""

from typing import Any

Cli = Any


def test_a_created_topic_is_listed_and_described(cli: Cli) -> None:
    assert cli("topic", "create", "flights", "-p", "3", "-c", "retention.ms=5000").lines == [
        "created topic flights (3 partitions)"
    ]
    assert cli("topic", "list", "--json").object == {
        "topic": "flights",
        "partitions": 3,
        "replicas": 1,
    }
    described = cli("topic", "describe", "flights", "--json").object
    assert [part["partition"] for part in described["partitions"]] == [0, 1, 2]
    assert described["partitions"][0] == {
        "partition": 0,
        "leader": 1,
        "replicas": [1],
        "isr": [1],
        "start": 0,
        "end": 0,
    }
    assert described["topic"] == "flights"
    assert described["topic_id"]
    assert described["internal"] is False
    assert described["configs"] == {"retention.ms": {"value": "5000", "source": "topic"}}


def test_the_tables_are_aligned_and_their_numbers_to_the_right(cli: Cli) -> None:
    cli("topic", "create", "a", "-p", "12")
    cli("topic", "create", "long-name")
    assert cli("topic", "list").lines == [
        "TOPIC      PARTITIONS  REPLICAS",
        "a                  12         1",
        "long-name           1         1",
    ]


def test_describe_counts_what_is_kept_and_shows_configurations_that_were_set(cli: Cli) -> None:
    cli("topic", "create", "a", "-c", "max.message.bytes=2000")
    cli("produce", "a", stdin=b"1\n2\n")
    lines = cli("topic", "describe", "a").lines
    assert lines[0].startswith("a: 1 partition, 2 offsets kept, id ")
    assert lines[1] == "  kept: every record for 7 d by its time"
    assert lines[3] == "PARTITION  LEADER  REPLICAS  IN SYNC  START  END  KEPT"
    assert lines[4].split() == ["0", "1", "1", "1", "0", "2", "2"]
    assert lines[-1].split() == ["max.message.bytes", "2000", "topic"]
    everything = cli("topic", "describe", "a", "--all-configs", "--json").object["configs"]
    assert everything["cleanup.policy"] == {"value": "delete", "source": "default"}


def test_describe_asks_the_http_door_for_what_kafka_cannot_say(cli: Cli, http_door: str) -> None:
    cli("topic", "create", "a", "-c", "retention.ms=86400000")
    cli("produce", "a", stdin=b"1\n")
    shown = cli("topic", "describe", "a", "--http", http_door).lines
    assert shown[1] == "  kept: every record for 1 d by its time"
    assert shown[2].startswith("  on disk: ")
    assert shown[3].startswith("  oldest record: 20")
    assert shown[4].startswith("  volume: ")
    described = cli("topic", "describe", "a", "--http", http_door, "--json").object
    assert described["kept_until_ms"] == described["oldest_ms"] + 86_400_000
    assert described["retention"]["ms"] == 86_400_000
    assert described["volume"]["free_bytes"] > 0
    missing = cli("topic", "describe", "a", "--http", "127.0.0.1:1", code=1)
    assert "cannot be asked" in missing.stderr


def test_no_topics_is_no_failure(cli: Cli) -> None:
    ran = cli("topic", "list")
    assert ran.stdout == b""
    assert "no topics" in ran.stderr
    assert cli("topic", "list", "--json").stdout == b""


def test_a_topic_that_is_there_is_not_created_again(cli: Cli) -> None:
    cli("topic", "create", "a")
    assert "already exists" in cli("topic", "create", "a", code=1).stderr
    again = cli("topic", "create", "a", "--if-not-exists", "--json").object
    assert again == {"topic": "a", "created": False, "partitions": None}


def test_one_refused_topic_does_not_stop_the_others(cli: Cli) -> None:
    ran = cli("topic", "create", "a", "no/name", "b", code=1)
    assert ran.lines == ["created topic a", "created topic b"]
    assert ran.stderr.startswith("headrace: create topic no/name: ")
    ran = cli("topic", "delete", "a", "missing", "b", "--yes", code=1)
    assert ran.lines == ["deleted topic a", "deleted topic b"]


def test_alter_sets_unsets_and_adds_partitions(cli: Cli) -> None:
    cli("topic", "create", "a", "-c", "retention.ms=5000")
    ran = cli(
        *("topic", "alter", "a", "--partitions", "4"),
        *("--unset", "retention.ms", "--config", "max.message.bytes=2000", "--json"),
    )
    assert ran.object == {
        "topic": "a",
        "configs": {"max.message.bytes": "2000", "retention.ms": None},
        "partitions": 4,
    }
    assert "order of a key" in ran.stderr
    described = cli("topic", "describe", "a", "--json").object
    assert len(described["partitions"]) == 4
    assert list(described["configs"]) == ["max.message.bytes"]


def test_alter_says_what_is_wrong(cli: Cli) -> None:
    cli("topic", "create", "a", "-p", "2")
    assert "INVALID_PARTITIONS" in cli("topic", "alter", "a", "-p", "1", code=1).stderr
    assert "INVALID_CONFIG" in cli("topic", "alter", "a", "-c", "no=1", code=1).stderr
    assert "nothing to change" in cli("topic", "alter", "a", code=2).stderr
    assert "NAME=VALUE" in cli("topic", "alter", "a", "-c", "x", code=2).stderr
    both = cli("topic", "alter", "a", "-c", "x=1", "--unset", "x", code=2)
    assert "both set and unset" in both.stderr


def test_an_unknown_topic_is_named(cli: Cli) -> None:
    for arguments in (("describe", "nope"), ("alter", "nope", "-p", "2"), ("delete", "nope", "-y")):
        ran = cli("topic", *arguments, code=1)
        assert "topic nope: Unknown topic or partition" in ran.stderr
        assert ran.stdout == b""


def test_nothing_is_deleted_without_a_yes(cli: Cli) -> None:
    cli("topic", "create", "a")
    assert "--yes" in cli("topic", "delete", "a", code=2).stderr
    assert cli("topic", "list", "--json").object["topic"] == "a"
    assert cli("topic", "delete", "a", "--yes", "--json").object == {"topic": "a", "deleted": True}
    assert cli("topic", "list", "--json").stdout == b""
