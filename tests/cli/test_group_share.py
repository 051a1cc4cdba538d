"""headrace group, of share groups."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.cli.failure import Failure
from headrace.cli.plain_requests import PlainRequests
from headrace.groups.consumer_requests import JOIN, LEAVE
from headrace.groups.share_requests import ShareHeartbeat
from headrace.testing import RunningBroker

Cli = Any


def heartbeat(broker: RunningBroker, member: str, epoch: int) -> None:
    async def tell(node: Any) -> None:
        names = frozenset({"t"}) if epoch == JOIN else None
        request = ShareHeartbeat(member, epoch, None, names, "me", "127.0.0.1")
        assert not (await node.broker.groups.share_heartbeat("s", request)).error

    broker.call(tell)


@pytest.fixture
def members(cli: Cli, broker: RunningBroker) -> list[str]:
    """Of share group s, which reads the one partition of t together."""
    cli("topic", "create", "t")
    names = ["m1", "m2"]
    for name in names:
        heartbeat(broker, name, JOIN)
    return names


def test_share_groups_are_listed_among_the_others(cli: Cli, members: list[str]) -> None:
    cli("produce", "t", stdin=b"0\n")
    cli("consume", "t", "--group", "g")
    assert cli("group", "list", "--json").objects == [
        {"group": "g", "state": "Empty", "type": "classic"},
        {"group": "s", "state": "Stable", "type": "share"},
    ]


def test_members_may_have_one_partition_together(cli: Cli, members: list[str]) -> None:
    described = cli("group", "describe", "s", "--json").object
    assert (described["state"], described["type"], described["assignor"]) == (
        "Stable",
        "share",
        "simple",
    )
    assert [(m["member_id"], m["partitions"]) for m in described["members"]] == [
        (name, [["t", 0]]) for name in members
    ]
    [partition] = described["partitions"]
    assert (partition["topic"], partition["member_id"]) == ("t", None)
    assert cli("group", "describe", "s").lines[0].startswith("s: Stable, 2 members, lag 0 (share, ")


def test_group_with_members_is_neither_moved_nor_deleted(
    cli: Cli, broker: RunningBroker, members: list[str]
) -> None:
    move = ("group", "reset", "s", "--topic", "t", "--to", "earliest", "--execute")
    assert "stop them first" in cli(*move, code=1).stderr
    assert "share group" in cli(*move, "--live", code=1).stderr
    assert "NON_EMPTY_GROUP" in cli("group", "delete", "s", "-y", code=1).stderr
    for name in members:
        heartbeat(broker, name, LEAVE)
    cli("group", "delete", "s", "-y")
    assert "no such group" in cli("group", "describe", "s", code=1).stderr


@pytest.fixture
def impostor() -> Iterator[Any]:
    """`impostor(answer)` listens, and answers whatever comes with these bytes; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(answer: bytes) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    def start(answer: bytes) -> int:
        threading.Thread(target=serve, args=(answer,), daemon=True).start()
        return int(listener.getsockname()[1])

    with listener:
        yield start


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x06\0\0\0\x01\0\0",
        b"\0\0\0\x04\0\0\0\x07",
        b"\x7f\xff\xff\xff\0\0\0\x01",
    ],
)
def test_what_is_no_broker_is_named(impostor: Any, answer: bytes) -> None:
    port = impostor(answer)
    with pytest.raises(Failure, match=f"127.0.0.1:{port}"):
        PlainRequests("127.0.0.1", port, 5.0)
