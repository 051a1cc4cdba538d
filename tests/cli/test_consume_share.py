"""headrace consume --share."""

from typing import Any

import pytest

from headrace.testing import RunningBroker
from headrace.testing.share_member import ShareMember

Cli = Any


@pytest.fixture
def queue(cli: Cli) -> str:
    """A share group that begins at the beginning of q, which has five records."""
    cli("topic", "create", "q")
    cli("group", "alter", "s", "-c", "share.auto.offset.reset=earliest")
    cli("produce", "q", stdin=b"0\n1\n2\n3\n4\n")
    return "s"


def test_what_was_written_out_is_done_and_the_rest_goes_back(cli: Cli, queue: str) -> None:
    take = ("consume", "q", "--share", queue, "--format", "value", "-n")
    assert cli(*take, "2").lines == ["0", "1"]
    assert cli("group", "describe", queue, "--json").object["lag"] == 3
    assert cli(*take, "3").lines == ["2", "3", "4"]
    described = cli("group", "describe", queue, "--json").object
    assert (described["state"], described["lag"]) == ("Empty", 0)


def test_lag_counts_what_is_not_done_with(cli: Cli, broker: RunningBroker, queue: str) -> None:
    async def topic_id(node: Any) -> Any:
        return node.broker.topics.by_name["q"].id

    member = ShareMember(broker.host, broker.port, broker.call(topic_id), queue, topic="q")
    try:
        assert member.acquire() == [(0, 4, 1)]
        assert member.acknowledge((0, 0, [1]), (3, 3, [1])) == 0
        described = cli("group", "describe", queue, "--json").object
        [part] = described["partitions"]
        assert (part["committed"], part["end"], part["lag"], described["lag"]) == (1, 5, 3, 3)
    finally:
        member.die()


def test_group_that_is_put_back_reads_again(cli: Cli, queue: str) -> None:
    take = ("consume", "q", "--share", queue, "--format", "value", "-n")
    cli(*take, "5")
    moved = cli("group", "reset", queue, "--to", "3", "--execute", "--json").object["partitions"]
    assert [(part["old"], part["new"]) for part in moved] == [(5, 3)]
    assert cli(*take, "2").lines == ["3", "4"]


@pytest.mark.parametrize(
    "more",
    [
        ("--group", "g"),
        ("--ephemeral",),
        ("--partition", "0"),
        ("--from", "latest"),
        ("--until", "3"),
    ],
)
def test_what_share_groups_have_not_is_refused(cli: Cli, more: tuple[str, ...]) -> None:
    cli("consume", "q", "--share", "s", *more, code=2)
