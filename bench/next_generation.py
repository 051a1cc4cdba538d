"""A large next-generation group: how fast it forms and settles, and what it costs to keep.

As in `groups` the members are raw connections that say what a consumer says and nothing else.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Final

from bench.groups import connected, create_topic, expect_none
from bench.report import Row
from bench.server import serving
from headrace.testing.raw_client import RawClient
from headrace.wire.messages.k68_consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatTopicPartitions,
)

__all__ = ["large_next_generation_group"]

VERSION: Final = 1
TOPIC: Final = "bench"
HEARTBEAT_S: Final = 5.0
"""What the broker tells members of a group that is settled."""
SETTLE_S_MAX: Final = 120.0


def large_next_generation_group(
    directory: str, seconds: float, members: int = 200
) -> Iterator[Row]:
    """One group with as many members as its topic has partitions."""
    with serving(directory, "fsync") as ours, contextlib.ExitStack() as stack:
        create_topic(ours, members)
        group = [
            _Member(stack.enter_context(connected(ours)), f"member-{number:05}")
            for number in range(members)
        ]
        started = time.perf_counter()
        for one in group:
            one.join()
        for one in group:
            one.hear()
        joined_s = time.perf_counter() - started
        _settle(group)
        settled_s = time.perf_counter() - started
        yield Row(
            f"{members} next-generation members join, {members} partitions",
            "fsync",
            joined_s,
            "s",
            aim="< 5 s",
            detail={"all have their partition after, s": settled_s},
        )
        seconds = max(seconds, HEARTBEAT_S)
        before_s = ours.cpu_s()
        _beat_for(group, seconds)
        share = 100 * (ours.cpu_s() - before_s) / seconds
        yield Row(
            f"heartbeats of {members} next-generation members, each every {HEARTBEAT_S:g} s",
            "fsync",
            share,
            "% of a core",
            aim="< 10 %",
        )


class _Member:
    """Does at once what it is told, and confirms that with its next heartbeat."""

    def __init__(self, client: RawClient, member_id: str) -> None:
        self.has = 0
        """Partitions."""
        self.next_s = 0.0
        """When it is to report again, by the performance counter."""
        self._client = client
        self._member_id = member_id
        self._epoch = 0
        self._owned: list[ConsumerGroupHeartbeatTopicPartitions] = []
        self._is_told = False

    def join(self) -> None:
        request = self._request()
        request.rebalance_timeout_ms = 300_000
        request.subscribed_topic_names = [TOPIC]
        request.topic_partitions = []
        self._client.send_request(request, VERSION)

    def beat(self) -> None:
        """Say what it has if it was just told that, else nothing, as clients do."""
        request = self._request()
        if self._is_told:
            request.topic_partitions = self._owned
        self._client.send_request(request, VERSION)

    def hear(self) -> None:
        answer = self._client.read_answer(ConsumerGroupHeartbeatResponse, VERSION)[1]
        expect_none(answer.error_code)
        self._epoch = answer.member_epoch
        self._is_told = answer.assignment is not None
        if answer.assignment is not None:
            self._owned = answer.assignment.topic_partitions
            self.has = sum(len(topic.partitions) for topic in self._owned)
        wait_s = 0.0 if self._is_told else answer.heartbeat_interval_ms / 1000
        self.next_s = time.perf_counter() + wait_s

    def _request(self) -> ConsumerGroupHeartbeatRequest:
        return ConsumerGroupHeartbeatRequest(
            group_id="g",
            member_id=self._member_id,
            member_epoch=self._epoch,
            instance_id=None,
            rebalance_timeout_ms=-1,
            subscribed_topic_names=None,
            server_assignor=None,
            topic_partitions=None,
        )


def _settle(group: list[_Member]) -> None:
    """Everyone reports when it is to, until each has one partition."""
    deadline = time.perf_counter() + SETTLE_S_MAX
    while any(one.has != 1 for one in group):
        now = time.perf_counter()
        if now > deadline:
            raise RuntimeError(f"the group is not settled after {SETTLE_S_MAX:g} s")
        due = [one for one in group if one.next_s <= now]
        _beat(due)
        if not due:
            time.sleep(0.005)


def _beat(members: Iterable[_Member]) -> None:
    members = list(members)
    for one in members:
        one.beat()
    for one in members:
        one.hear()


def _beat_for(group: list[_Member], seconds: float) -> None:
    """Each member's heartbeat in its turn, evenly spread, for so long."""
    interval_s = HEARTBEAT_S / len(group)
    started = time.perf_counter()
    for count in range(int(seconds / interval_s)):
        wait_s = started + count * interval_s - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        _beat([group[count % len(group)]])
