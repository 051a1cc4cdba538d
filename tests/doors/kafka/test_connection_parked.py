"""What happens behind a JoinGroup that waits for other members, on one connection."""

import pytest

from headrace.doors.kafka.connection import PASSING_MAX
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
from headrace.wire.messages.k13_leave_group import (
    LeaveGroupRequest,
    LeaveGroupRequestMember,
    LeaveGroupResponse,
)
from headrace.wire.messages.k14_sync_group import SyncGroupRequest, SyncGroupResponse
from headrace.wire.messages.k60_describe_cluster import (
    DescribeClusterRequest,
    DescribeClusterResponse,
)


class Member:
    """A member of group `g` that is asked for each of its steps."""

    def __init__(self, client, metadata=b""):
        self.client = client
        self.member_id = ""
        self.generation = -1
        self.metadata = metadata

    def send_join(self):
        request = JoinGroupRequest(
            group_id="g",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=60_000,
            member_id=self.member_id,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name="range", metadata=self.metadata)],
        )
        self.client.send_request(request, 4)

    def read_join(self):
        _, answer = self.client.read_answer(JoinGroupResponse, 4)
        if not answer.error_code:
            self.generation = answer.generation_id
        return answer

    def get_id(self):
        self.send_join()
        self.member_id = self.read_join().member_id
        return self

    def commit(self, offset):
        partitions = [OffsetCommitRequestPartition(0, offset)]
        return OffsetCommitRequest(
            group_id="g",
            generation_id_or_member_epoch=self.generation,
            member_id=self.member_id,
            topics=[OffsetCommitRequestTopic(name="t", partitions=partitions)],
        )


@pytest.fixture
def pair(broker, connect, until):
    """Two members of generation 1 of which the first has asked to join again and waits for the
    second; and how to learn the group's members and what it committed."""
    broker.create_topic("t")
    first, second = (Member(connect(broker)).get_id() for _ in range(2))
    for member in (first, second):
        member.send_join()
    assert {member.read_join().generation_id for member in (first, second)} == {1}

    def look():
        async def now(node):
            groups = node.broker.groups
            offsets = {pair: kept.offset for pair, kept in groups.offsets("g").items()}
            return groups.describe("g"), offsets

        return broker.call(now)

    first.metadata = b"news"
    first.send_join()
    until(lambda: look()[0].state.value == "PreparingRebalance", "the rebalance")
    return first, second, look


def test_a_commit_counts_at_once_and_is_answered_in_its_turn(pair, until):
    first, second, look = pair
    first.client.send_request(first.commit(7), 7)
    until(lambda: look()[1] == {("t", 0): 7}, "the commit")
    second.send_join()
    assert first.read_join().generation_id == 2
    _, answer = first.client.read_answer(OffsetCommitResponse, 7)
    assert answer.topics[0].partitions[0].error_code == ErrorCode.NONE


def test_a_farewell_is_heard_at_once_and_ends_the_wait(pair, until):
    first, second, look = pair
    leaving = [LeaveGroupRequestMember(member_id=first.member_id)]
    first.client.send_request(LeaveGroupRequest(group_id="g", members=leaving), 4)
    assert first.read_join().error_code == ErrorCode.UNKNOWN_MEMBER_ID
    _, answer = first.client.read_answer(LeaveGroupResponse, 4)
    assert answer.members[0].error_code == ErrorCode.NONE
    assert [member.member_id for member in look()[0].members] == [second.member_id]


def test_a_commit_behind_a_sync_waits_for_the_generation_to_be_complete(pair, until):
    first, second, _ = pair
    second.send_join()
    leads = {member: member.read_join().members for member in (first, second)}
    follower = next(member for member in (first, second) if not leads[member])
    leader = next(member for member in (first, second) if leads[member])
    for member in (follower, leader):
        request = SyncGroupRequest(
            group_id="g", generation_id=member.generation, member_id=member.member_id
        )
        member.client.send_request(request, 3)
        member.client.send_request(member.commit(7), 7)
    for member in (follower, leader):
        _, synced = member.client.read_answer(SyncGroupResponse, 3)
        assert synced.error_code == ErrorCode.NONE
        _, answer = member.client.read_answer(OffsetCommitResponse, 7)
        assert answer.topics[0].partitions[0].error_code == ErrorCode.NONE


def test_other_requests_wait_and_so_do_those_behind_them(pair, until):
    first, second, look = pair
    first.client.send_request(DescribeClusterRequest(), 0)
    first.client.send_request(first.commit(7), 7)
    second.send_join()
    second.read_join()
    first.read_join()
    first.client.read_answer(DescribeClusterResponse, 0)
    _, answer = first.client.read_answer(OffsetCommitResponse, 7)
    assert answer.topics[0].partitions[0].error_code == ErrorCode.ILLEGAL_GENERATION
    assert look()[1] == {}


def test_those_that_pass_are_bounded_and_none_is_lost(pair, until):
    first, second, look = pair
    beat = HeartbeatRequest(group_id="g", generation_id=1, member_id=first.member_id)
    for _ in range(PASSING_MAX - 1):
        first.client.send_request(beat, 3)
    for offset in range(1, 4):
        first.client.send_request(first.commit(offset), 7)
    until(lambda: look()[1] == {("t", 0): 1}, "the last that may pass")
    second.send_join()
    first.read_join()
    codes = [
        first.client.read_answer(HeartbeatResponse, 3)[1].error_code for _ in range(PASSING_MAX - 1)
    ]
    assert set(codes) == {ErrorCode.REBALANCE_IN_PROGRESS}
    codes = [
        first.client.read_answer(OffsetCommitResponse, 7)[1].topics[0].partitions[0].error_code
        for _ in range(3)
    ]
    assert codes == [0, ErrorCode.ILLEGAL_GENERATION, ErrorCode.ILLEGAL_GENERATION]
    assert look()[1] == {("t", 0): 1}


def test_a_broker_that_stops_does_not_wait_for_members(broker, pair):
    first, second, _ = pair
    first.client.send_request(first.commit(7), 7)

    async def drain(node):
        for connection in list(node.kafka.connections):
            connection.drain()

    broker.call(drain)
    assert first.client.is_hung_up()
    assert second.client.is_hung_up()
