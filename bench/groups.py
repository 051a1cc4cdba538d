"""Consumer groups: how fast a large one forms, what it costs to keep it, and many small ones.

The members are raw connections that say what a consumer says and nothing else, so that the broker
is measured and not the clients.
"""

import contextlib
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic

from bench.report import Row
from bench.server import Serving, serving
from headrace.testing.raw_client import RawClient
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from headrace.wire.messages.k11_join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from headrace.wire.messages.k12_heartbeat import HeartbeatRequest, HeartbeatResponse
from headrace.wire.messages.k14_sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)

__all__ = ["idle_groups", "large_group"]

TOPIC = "bench"
JOIN_VERSION, SYNC_VERSION, BEAT_VERSION, COMMIT_VERSION = 7, 5, 4, 8
SESSION_MS = 1_800_000
HEARTBEAT_S = 3.0
"""What clients do when nobody tells them otherwise."""
GROUPS_AT_ONCE = 100


class Member(NamedTuple):
    client: RawClient
    member_id: str
    generation: int


def large_group(directory: str, seconds: float, members: int = 200) -> Iterator[Row]:
    """One group with as many members as its topic has partitions."""
    with serving(directory, "fsync") as ours, contextlib.ExitStack() as stack:
        create_topic(ours, members)
        clients = [stack.enter_context(connected(ours)) for _ in range(members)]
        started = time.perf_counter()
        joined = form(clients, ["g"] * members)
        elapsed_s = time.perf_counter() - started
        yield Row(
            f"{members} members join, {members} partitions", "fsync", elapsed_s, "s", aim="< 5 s"
        )
        seconds = max(seconds, HEARTBEAT_S)
        before_s = ours.cpu_s()
        beat_for(joined, seconds)
        share = 100 * (ours.cpu_s() - before_s) / seconds
        yield Row(
            f"heartbeats of {members} members, each every {HEARTBEAT_S:g} s",
            "fsync",
            share,
            "% of a core",
            aim="< 10 %",
        )


def idle_groups(directory: str, groups: int = 1000) -> Iterator[Row]:
    """Groups of one member each that has committed and says nothing more."""
    with serving(directory, "fsync") as ours:
        create_topic(ours, 1)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(ours)) for _ in range(GROUPS_AT_ONCE)]
            form(clients, [f"warm-{number}" for number in range(GROUPS_AT_ONCE)])
            before_mb = ours.resident_mb()
            for first in range(0, groups, GROUPS_AT_ONCE):
                ids = [f"g-{first + number}" for number in range(GROUPS_AT_ONCE)]
                commit_each(form(clients, ids), ids)
        used_mb = ours.resident_mb() - before_mb
        yield Row(f"{groups:,} idle groups", "fsync", used_mb, "MB", aim="< 100 MB")


def connected(ours: Serving) -> RawClient:
    host, _, port = ours.bootstrap.rpartition(":")
    return RawClient(host, int(port), timeout_s=60)


def create_topic(ours: Serving, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": ours.bootstrap})
    admin.create_topics([NewTopic(TOPIC, partitions)])[TOPIC].result(30)


def form(clients: list[RawClient], group_ids: list[str]) -> list[Member]:
    """Every client joins its group, all at the same time, and waits for what it is to read."""
    subscription = struct.pack(">hih", 0, 1, len(TOPIC)) + TOPIC.encode() + struct.pack(">i", -1)
    protocols = [JoinGroupRequestProtocol("range", subscription)]
    member_ids = [""] * len(clients)
    answers: list[JoinGroupResponse] = []
    for _ in range(2):  # for an id, then with it
        for client, group_id, member_id in zip(clients, group_ids, member_ids, strict=True):
            request = JoinGroupRequest(
                group_id=group_id,
                session_timeout_ms=SESSION_MS,
                rebalance_timeout_ms=60_000,
                member_id=member_id,
                protocol_type="consumer",
                protocols=protocols,
            )
            client.send_request(request, JOIN_VERSION)
        answers = [client.read_answer(JoinGroupResponse, JOIN_VERSION)[1] for client in clients]
        member_ids = [answer.member_id for answer in answers]
    for answer in answers:
        expect_none(answer.error_code)
    return assign(clients, group_ids, answers)


def assign(
    clients: list[RawClient], group_ids: list[str], answers: list[JoinGroupResponse]
) -> list[Member]:
    """Leaders hand in one partition for each member."""
    for client, group_id, answer in zip(clients, group_ids, answers, strict=True):
        request = SyncGroupRequest(
            group_id=group_id,
            generation_id=answer.generation_id,
            member_id=answer.member_id,
            assignments=[
                SyncGroupRequestAssignment(member.member_id, assignment_of(partition))
                for partition, member in enumerate(answer.members)
            ],
        )
        client.send_request(request, SYNC_VERSION)
    for client in clients:
        expect_none(client.read_answer(SyncGroupResponse, SYNC_VERSION)[1].error_code)
    return [
        Member(client, answer.member_id, answer.generation_id)
        for client, answer in zip(clients, answers, strict=True)
    ]


def assignment_of(partition: int) -> bytes:
    topic = struct.pack(">h", len(TOPIC)) + TOPIC.encode()
    return struct.pack(">hi", 0, 1) + topic + struct.pack(">iii", 1, partition, -1)


def beat_for(members: list[Member], seconds: float) -> None:
    """Each member's heartbeat in its turn, evenly spread, for so long."""
    interval_s = HEARTBEAT_S / len(members)
    started = time.perf_counter()
    for count in range(int(seconds / interval_s)):
        wait_s = started + count * interval_s - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        member = members[count % len(members)]
        request = HeartbeatRequest("g", member.generation, member.member_id)
        expect_none(member.client.ask(request, HeartbeatResponse, BEAT_VERSION).error_code)


def commit_each(members: list[Member], group_ids: list[str]) -> None:
    for member, group_id in zip(members, group_ids, strict=True):
        partitions = [OffsetCommitRequestPartition(0, 0)]
        request = OffsetCommitRequest(
            group_id=group_id,
            generation_id_or_member_epoch=member.generation,
            member_id=member.member_id,
            topics=[OffsetCommitRequestTopic(name=TOPIC, partitions=partitions)],
        )
        member.client.send_request(request, COMMIT_VERSION)
    for member in members:
        answer = member.client.read_answer(OffsetCommitResponse, COMMIT_VERSION)[1]
        expect_none(answer.topics[0].partitions[0].error_code)


def expect_none(code: int) -> None:
    if code:
        raise RuntimeError(f"the broker refused: {ErrorCode(code).name}")
