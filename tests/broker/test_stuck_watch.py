"""The watch over all groups: says a thing once, forgets who is gone, leaves others alone."""

import asyncio
import logging
import struct
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from headrace.broker.stuck_watch import StuckWatch
from headrace.groups.consumer_records import ConsumerMemberRecord
from headrace.groups.description import (
    ConsumerGroupDescription,
    GroupDescription,
    GroupType,
    MemberDescription,
)
from headrace.groups.offsets import Committed
from headrace.groups.states import State
from headrace.log.contract import LogOffsets
from headrace.wire.errors import ErrorCode, RequestError

PATIENCE_MS = 60_000
TOPIC_ID = UUID(int=1)


def assignment(topic: str, *partitions: int) -> bytes:
    name = topic.encode()
    head = struct.pack(f">hih{len(name)}si", 0, 1, len(name), name, len(partitions))
    return head + struct.pack(f">{len(partitions)}i", *partitions) + struct.pack(">i", -1)


class Scene:
    """One group with one member that owns t-0, with `end` records in it."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.end = 10
        self.markers = 0
        """At the end of the partition."""
        self.is_offline = False
        self.committed: dict[tuple[str, int], Committed] = {("t", 0): Committed(5, -1, "", 0)}
        self.state = State.STABLE
        self.assignment = assignment("t", 0)
        self.members = ["m"]
        self.type = GroupType.CLASSIC
        topics: Any = SimpleNamespace(
            partition=lambda *_: SimpleNamespace(log=self, is_mine=True),
            by_id={TOPIC_ID: SimpleNamespace(name="t")},
        )
        self.watch = StuckWatch(self, topics, PATIENCE_MS, lambda: self.now_ms)

    def offsets(self, group_id: str | None = None) -> Any:
        if group_id is not None:
            return self.committed
        if self.is_offline:
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "offline")
        return LogOffsets(0, self.end, self.end, self.end)

    def committed_end(self) -> int:
        return self.end - self.markers

    def list(self) -> Any:
        members = tuple(
            MemberDescription(name, None, "app", "host", b"", self.assignment)
            for name in self.members
        )
        return [
            GroupDescription("g", self.state, "consumer", "", 1, "m", members, 0, "", self.type)
        ]

    def describe_consumer(self, group_id: str) -> ConsumerGroupDescription:
        nothing: frozenset[Any] = frozenset()
        members = tuple(
            ConsumerMemberRecord(
                member_id=name,
                instance_id=None,
                rack_id=None,
                client_id="app",
                client_host="host",
                rebalance_timeout_ms=1,
                names=frozenset({"t"}),
                pattern="",
                assignor=None,
                epoch=1,
                previous_epoch=0,
                assigned=frozenset({(TOPIC_ID, 0)}),
                revoking=nothing,
                target=nothing,
            )
            for name in self.members
        )
        return ConsumerGroupDescription(group_id, self.state, 1, "uniform", members)

    def after(self, seconds: float) -> float | None:
        self.now_ms += int(seconds * 1000)
        asyncio.run(self.watch.look())
        return self.watch.stuck_for_s("g", "m")


@pytest.fixture
def scene(caplog: pytest.LogCaptureFixture) -> Scene:
    caplog.set_level(logging.INFO, "headrace.groups")
    return Scene()


def test_stuck_is_said_once_and_so_is_recovery(scene, caplog):
    assert [scene.after(0), scene.after(30), scene.after(30), scene.after(30)] == [
        None,
        None,
        60.0,
        90.0,
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "'g'" in caplog.text
    assert "5 records" in caplog.text
    scene.committed["t", 0] = Committed(6, -1, "", 0)
    assert scene.after(1) is None
    scene.after(1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "no longer stuck" in caplog.text


def test_a_group_that_never_commits_keeps_its_positions_elsewhere(scene):
    scene.committed.clear()
    assert [scene.after(0), scene.after(100)] == [None, None]


def test_a_partition_without_a_commit_counts_in_a_group_that_commits(scene):
    scene.committed = {("other", 0): Committed(1, -1, "", 0)}
    assert [scene.after(0), scene.after(100)] == [None, 100.0]


def test_an_offline_partition_is_not_its_readers_fault(scene):
    scene.is_offline = True
    assert [scene.after(0), scene.after(100)] == [None, None]


def test_a_transactions_markers_at_the_end_are_nothing_to_read(scene):
    scene.markers = 5
    assert [scene.after(0), scene.after(100)] == [None, None]
    scene.markers = 4
    assert [scene.after(0), scene.after(100)] == [None, 100.0]


def test_a_rebalance_in_between_does_not_excuse(scene):
    scene.after(0)
    scene.state, held = State.PREPARING, scene.assignment
    scene.assignment = b""
    scene.after(30)
    scene.state, scene.assignment = State.STABLE, held
    assert scene.after(30) == 60.0


def test_members_that_are_gone_are_forgotten(scene):
    scene.after(0)
    assert scene.after(60) == 60.0
    scene.members.clear()
    assert scene.after(1) is None
    scene.members.append("m")
    assert scene.after(1) is None


@pytest.mark.parametrize("garbage", [b"\0", b"\xff" * 30, b"connect worker"])
def test_members_that_are_no_consumers_are_left_alone(scene, garbage):
    scene.assignment = garbage
    assert [scene.after(0), scene.after(100)] == [None, None]


def test_members_of_a_next_generation_group_are_watched_too(scene):
    scene.type = GroupType.CONSUMER
    scene.assignment = b""
    assert [scene.after(0), scene.after(60)] == [None, 60.0]
    scene.committed["t", 0] = Committed(6, -1, "", 0)
    assert scene.after(1) is None
