"""headrace transaction."""

from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer

from headrace.cli import transactions
from headrace.log.contract import ACKS_LEADER
from headrace.testing import RunningBroker
from headrace.wire.records import Record, build_batch

Cli = Any
HANGING = 4711
"""A producer whose transaction no coordinator knows."""


@pytest.fixture
def writer(cli: Cli, broker: RunningBroker) -> Producer:
    """Of transactional id x; it has written to t/1 and not ended its transaction."""
    cli("topic", "create", "t", "-p", "2")
    settings = {"bootstrap.servers": broker.bootstrap, "transactional.id": "x", "log_level": 0}
    producer = Producer(settings)
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce("t", b"v", partition=1)
    assert producer.flush(10) == 0
    return producer


def hang(broker: RunningBroker) -> None:
    batch = build_batch(
        [Record(timestamp_ms=1, value=b"v")],
        producer_id=HANGING,
        producer_epoch=3,
        base_sequence=0,
        transactional=True,
    )

    async def write(node: Any) -> None:
        log = node.broker.topics.partition("t", 0).log
        log.append(memoryview(bytearray(batch)), ACKS_LEADER, lambda _: None)

    broker.call(write)


def test_transactions_are_listed_with_their_age(cli: Cli, writer: Producer) -> None:
    [found] = cli("transaction", "list", "--json").objects
    assert (found["transactional_id"], found["state"]) == ("x", "Ongoing")
    assert found["partitions"] == [["t", 1]]
    assert (found["timeout_ms"], found["producer_epoch"]) == (60_000, 0)
    assert 0 <= found["age_s"] < 60
    heading, row = cli("transaction", "list", "--state", "ongoing").lines
    assert heading.split()[:2] == ["TRANSACTIONAL", "ID"]
    assert row.split()[:2] == ["x", "Ongoing"]
    for nothing in (("--state", "prepare-commit"), ("--older-than", "1h")):
        ran = cli("transaction", "list", *nothing)
        assert (ran.text, ran.stderr) == ("", "headrace: no transactions like that\n")
    writer.commit_transaction(10)
    assert "--older-than" in cli("transaction", "list", "--older-than", "0s", code=2).stderr
    [found] = cli("transaction", "list", "--json").objects
    assert (found["state"], found["age_s"], found["partitions"]) == ("CompleteCommit", None, [])


def test_a_state_that_is_none_is_told(cli: Cli) -> None:
    assert "PrepareCommit" in cli("transaction", "list", "--state", "x", code=2).stderr
    assert "no transactional ids" in cli("transaction", "list").stderr


def test_a_transaction_is_described(cli: Cli, broker: RunningBroker, writer: Producer) -> None:
    ran = cli("transaction", "describe", "x", "nobody", code=1)
    assert ran.lines[0].startswith("x: Ongoing for ")
    assert f"timeout 1 min, coordinator {broker.bootstrap})" in ran.lines[0]
    assert ran.lines[-1].split() == ["t", "1"]
    assert "nobody: there is no such transactional id" in ran.stderr


def test_producers_are_shown_with_whose_transaction_is_open(
    cli: Cli, broker: RunningBroker, writer: Producer
) -> None:
    hang(broker)
    hanging, known = cli("transaction", "producers", "t", "--json").objects
    assert (hanging["partition"], hanging["producer_id"], hanging["open_from"]) == (0, HANGING, 0)
    assert hanging["transactional_id"] is None
    assert (known["partition"], known["transactional_id"], known["open_from"]) == (1, "x", 0)
    assert (known["last_sequence"], known["coordinator_epoch"]) == (0, -1)
    rows = cli("transaction", "producers", "t/0").lines
    assert rows[1].split()[-1] == "(hanging)"
    writer.abort_transaction(10)
    assert cli("transaction", "producers", "t/1", "--json").object["open_from"] is None
    assert "no producers" in cli("transaction", "producers", "t/1", "--open").stderr
    assert "no partition 2" in cli("transaction", "producers", "t/2", code=1).stderr
    assert "TOPIC/PARTITION" in cli("transaction", "producers", "t/x", code=2).stderr


def test_a_transaction_that_ends_while_one_looks_does_not_hang(
    cli: Cli, writer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = transactions._open_transactions_of

    def too_late(*arguments: Any) -> Any:
        writer.commit_transaction(10)
        return ask(*arguments)

    monkeypatch.setattr(transactions, "_open_transactions_of", too_late)
    seen = cli("transaction", "producers", "t/1", "--json").object
    assert (seen["transactional_id"], seen["open_from"]) == (None, None)


def test_a_transaction_is_aborted_and_its_producer_fenced(cli: Cli, writer: Producer) -> None:
    shown = cli("transaction", "abort", "x", "--json")
    assert (shown.object["executed"], shown.object["partitions"]) == (False, [["t", 1]])
    assert "nothing was changed" in shown.stderr
    assert cli("transaction", "describe", "x", "--json").object["state"] == "Ongoing"
    assert cli("transaction", "abort", "x", "--execute", "--json").object["executed"] is True
    assert cli("transaction", "describe", "x", "--json").object["state"] == "Empty"
    assert "none is open" in cli("transaction", "abort", "x", "--execute", code=1).stderr
    with pytest.raises(KafkaException) as refusal:
        writer.commit_transaction(10)
    assert refusal.value.args[0].fatal()


def test_what_hangs_is_aborted_in_its_partition(
    cli: Cli, broker: RunningBroker, writer: Producer
) -> None:
    def last_stable() -> int:
        async def look(node: Any) -> int:
            return int(node.broker.topics.partition("t", 0).log.offsets().last_stable)

        return broker.call(look)

    hang(broker)
    where = ("transaction", "abort", "--partition", "t/0", "--producer-id", str(HANGING))
    assert cli(*where).lines[1].split() == ["t", "0", str(HANGING), "3", "0"]
    assert last_stable() == 0
    assert cli(*where, "--execute", "--json").object == {
        "transactional_id": None,
        "producer_id": HANGING,
        "producer_epoch": 3,
        "partitions": [["t", 0]],
        "executed": True,
    }
    assert last_stable() == 2
    assert "has no open transaction" in cli(*where, "--execute", code=1).stderr


def test_what_a_coordinator_knows_is_not_aborted_behind_its_back(
    cli: Cli, writer: Producer
) -> None:
    producer_id = cli("transaction", "describe", "x", "--json").object["producer_id"]
    where = ("--partition", "t/1", "--producer-id", str(producer_id), "--execute")
    refused = cli("transaction", "abort", *where, code=1).stderr
    assert "headrace transaction abort x" in refused
    writer.commit_transaction(10)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("x", "--producer-id", "1"),
        ("--partition", "t/0"),
        ("--partition", "t", "--producer-id", "1"),
        ("--partition", "/0", "--producer-id", "1"),
    ],
    ids=str,
)
def test_what_to_abort_must_be_clear(cli: Cli, arguments: tuple[str, ...]) -> None:
    cli("transaction", "abort", *arguments, code=2)


def test_an_encrypted_connection_is_refused(cli: Cli, writer: Producer) -> None:
    connection = transactions.Connection("127.0.0.1:1", 1, ["security.protocol=ssl"])
    with pytest.raises(transactions.Failure, match="plain connection"):
        transactions.find_transaction(connection, Any, "x")
