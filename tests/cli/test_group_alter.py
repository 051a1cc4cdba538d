"""headrace group alter."""

from typing import Any

from headrace.testing import RunningBroker

Cli = Any
TOPIC = "errors.deadletterqueue.topic.name"
LIMIT = "share.delivery.count.limit"


def _values(broker: RunningBroker) -> dict[str, str]:
    return broker.node.broker.group_configs.overrides("shop")


def test_a_group_gets_a_dead_letter_topic_before_it_has_members(
    cli: Cli, broker: RunningBroker
) -> None:
    cli("topic", "create", "dlq.orders", "-c", "errors.deadletterqueue.group.enable=true")
    ran = cli("group", "alter", "shop", "-c", f"{TOPIC}=dlq.orders", "-c", f"{LIMIT}=3")
    assert ran.lines == [f"shop: {TOPIC}=dlq.orders", f"shop: {LIMIT}=3"]
    assert _values(broker) == {TOPIC: "dlq.orders", LIMIT: "3"}
    changed = cli("group", "alter", "shop", "--unset", LIMIT, "--json").object
    assert changed == {"group": "shop", "configs": {LIMIT: None}}
    assert _values(broker) == {TOPIC: "dlq.orders"}


def test_alter_says_what_is_wrong_and_changes_nothing(cli: Cli, broker: RunningBroker) -> None:
    def refused(*arguments: str, code: int = 1) -> str:
        return cli("group", "alter", "shop", *arguments, code=code).stderr

    assert "topic 'dlq.orders' does not exist" in refused(
        "-c", f"{LIMIT}=3", "-c", f"{TOPIC}=dlq.orders"
    )
    assert f"did you mean {LIMIT}?" in refused("-c", "share.delivery.count.limits=3")
    assert "nothing to change" in refused(code=2)
    assert "NAME=VALUE" in refused("-c", "x", code=2)
    assert "both set and unset" in refused("-c", f"{LIMIT}=3", "--unset", LIMIT, code=2)
    assert _values(broker) == {}


def test_describe_shows_what_is_set_for_the_group(cli: Cli) -> None:
    cli("topic", "create", "t")
    cli("produce", "t", stdin=b"0\n")
    cli("consume", "t", "--group", "shop")
    assert cli("group", "describe", "shop", "--json").object["configs"] == {}
    assert "CONFIGURATION" not in cli("group", "describe", "shop").text
    cli("group", "alter", "shop", "-c", f"{LIMIT}=3")
    assert cli("group", "describe", "shop", "--json").object["configs"] == {LIMIT: "3"}
    assert cli("group", "describe", "shop").lines[-2:] == [
        "CONFIGURATION               VALUE",
        "share.delivery.count.limit  3",
    ]
