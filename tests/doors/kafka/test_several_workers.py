"""What one of several workers tells its clients: who serves what, and to go there."""

from zlib import crc32

import pytest

from headrace.broker.append import find_partition
from headrace.broker.broker import Broker
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.fetching import Room
from headrace.doors.kafka import k11_join_group, k68_consumer_group_heartbeat
from headrace.doors.kafka.k01_fetch import Fetches
from headrace.doors.kafka.k02_list_offsets import API as LIST_OFFSETS
from headrace.doors.kafka.k03_metadata import API as METADATA
from headrace.doors.kafka.k08_offset_commit import API as OFFSET_COMMIT
from headrace.doors.kafka.k09_offset_fetch import API as OFFSET_FETCH
from headrace.doors.kafka.k10_find_coordinator import API as FIND_COORDINATOR
from headrace.doors.kafka.k12_heartbeat import API as HEARTBEAT
from headrace.doors.kafka.k15_describe_groups import API as DESCRIBE_GROUPS
from headrace.doors.kafka.k19_create_topics import API as CREATE_TOPICS
from headrace.doors.kafka.k21_delete_records import API as DELETE_RECORDS
from headrace.doors.kafka.k22_init_producer_id import API as INIT_PRODUCER_ID
from headrace.doors.kafka.k26_end_txn import API as END_TXN
from headrace.doors.kafka.k35_describe_log_dirs import API as DESCRIBE_LOG_DIRS
from headrace.doors.kafka.k42_delete_groups import API as DELETE_GROUPS
from headrace.doors.kafka.k60_describe_cluster import API as DESCRIBE_CLUSTER
from headrace.doors.kafka.k65_describe_transactions import API as DESCRIBE_TRANSACTIONS
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.fetch import FetchRequest, PartitionWant, TopicRun
from headrace.wire.header import RequestHead
from headrace.wire.messages.k02_list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from headrace.wire.messages.k03_metadata import MetadataRequest, MetadataRequestTopic
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from headrace.wire.messages.k09_offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup
from headrace.wire.messages.k10_find_coordinator import CoordinatorType, FindCoordinatorRequest
from headrace.wire.messages.k11_join_group import JoinGroupRequest, JoinGroupRequestProtocol
from headrace.wire.messages.k12_heartbeat import HeartbeatRequest
from headrace.wire.messages.k15_describe_groups import DescribeGroupsRequest
from headrace.wire.messages.k19_create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreateTopicsRequest,
)
from headrace.wire.messages.k21_delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from headrace.wire.messages.k22_init_producer_id import InitProducerIdRequest
from headrace.wire.messages.k26_end_txn import EndTxnRequest
from headrace.wire.messages.k35_describe_log_dirs import DescribeLogDirsRequest
from headrace.wire.messages.k42_delete_groups import DeleteGroupsRequest
from headrace.wire.messages.k60_describe_cluster import DescribeClusterRequest
from headrace.wire.messages.k65_describe_transactions import DescribeTransactionsRequest

ME = Ownership(1, 3, first_node_id=10)
ADDRESSES = [("127.0.0.1", 9092), ("127.0.0.1", 9093), ("127.0.0.1", 9094)]


@pytest.fixture
def with_worker(with_broker):
    """As the second of three workers, with topic `t` of six partitions."""

    def run(body):
        async def prepared(asker):
            await asker.broker.topics.create("t", 6)
            return await body(asker)

        return with_broker(prepared, ownership=ME)

    return run


def of_worker(worker, owner_of):
    return next(f"id-{n}" for n in range(100) if owner_of(f"id-{n}") == worker)


def partitions(broker: Broker):
    """Indexes of topic `t`'s: mine, others'."""
    found = broker.topics.get("t").partitions
    mine = [one.index for one in found if ME.is_my_partition(one.topic.id, one.index)]
    return mine, [one.index for one in found if one.index not in mine]


def test_metadata_shows_every_worker_and_whose_the_partitions_are(with_worker):
    async def body(asker):
        answer = await asker.ask(METADATA, 12, MetadataRequest([MetadataRequestTopic(name="t")]))
        assert [(b.node_id, b.host, b.port) for b in answer.brokers] == [
            (10 + worker, *address) for worker, address in enumerate(ADDRESSES)
        ]
        assert answer.controller_id == 10
        (topic,) = answer.topics
        begin = crc32(topic.topic_id.bytes)
        leaders = [10 + (begin + index) % 3 for index in range(6)]
        assert [part.leader_id for part in topic.partitions] == leaders
        assert [part.replica_nodes for part in topic.partitions] == [[one] for one in leaders]
        assert [part.isr_nodes for part in topic.partitions] == [[one] for one in leaders]
        assert {part.error_code for part in topic.partitions} == {0}
        cluster = await asker.ask(DESCRIBE_CLUSTER, 1, DescribeClusterRequest())
        assert [broker.broker_id for broker in cluster.brokers] == [10, 11, 12]
        assert cluster.controller_id == 10

    with_worker(body)


def test_coordinators_are_found_where_they_are(with_worker):
    async def find(asker, key, key_type):
        request = FindCoordinatorRequest(coordinator_keys=[key], key_type=key_type)
        (found,) = (await asker.ask(FIND_COORDINATOR, 6, request)).coordinators
        return found.error_code, found.node_id, found.host, found.port

    async def body(asker):
        for worker, address in enumerate(ADDRESSES):
            group = of_worker(worker, ME.owner_of_group)
            id_ = of_worker(worker, ME.owner_of_transaction)
            told = (0, 10 + worker, *address)
            assert await find(asker, group, CoordinatorType.GROUP) == told
            assert await find(asker, id_, CoordinatorType.TRANSACTION) == told
        share = "g:AAAAAAAAAAAAAAAAAAAAAA:"
        owners = [await find(asker, f"{share}{n}", CoordinatorType.SHARE) for n in range(3)]
        assert sorted(node_id for _, node_id, *_ in owners) == [10, 11, 12]

    with_worker(body)


def test_who_asks_for_anothers_partition_is_sent_to_its_leader(with_worker):
    async def body(asker):
        broker = asker.broker
        mine, others = partitions(broker)
        assert (len(mine), len(others)) == (2, 4)
        asked = [ListOffsetsPartition(partition_index=index, timestamp=-1) for index in range(6)]
        request = ListOffsetsRequest(topics=[ListOffsetsTopic(name="t", partitions=asked)])
        (told,) = (await asker.ask(LIST_OFFSETS, 7, request)).topics
        for part in told.partitions:
            code = 0 if part.partition_index in mine else ErrorCode.NOT_LEADER_OR_FOLLOWER
            assert part.error_code == code
        cut = [DeleteRecordsPartition(index, -1) for index in others]
        deleting = DeleteRecordsRequest(topics=[DeleteRecordsTopic("t", cut)], timeout_ms=1000)
        (told,) = (await asker.ask(DELETE_RECORDS, 2, deleting)).topics
        codes = {part.error_code for part in told.partitions}
        assert codes == {ErrorCode.NOT_LEADER_OR_FOLLOWER}
        with pytest.raises(RequestError) as refused:
            find_partition(broker, "t", others[0])
        assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert find_partition(broker, "t", mine[0]).is_mine
        (directory,) = (
            await asker.ask(DESCRIBE_LOG_DIRS, 4, DescribeLogDirsRequest(topics=None))
        ).results
        (topic,) = directory.topics
        assert [part.partition_index for part in topic.partitions] == mine

    with_worker(body)


def test_a_fetch_does_not_wait_for_anothers_partition(with_worker):
    async def body(asker):
        _, others = partitions(asker.broker)
        want = PartitionWant("t", others[0], 0, 1000, -1)
        request = FetchRequest(60_000, 1, 1000, False, 0, 0, [want], [TopicRun("t", 0, 1)], {})
        head = RequestHead(ApiKey.FETCH, 12, 1, "tests", 0)
        await Fetches(asker.broker, Room()).serve(request, head)
        assert asker.broker.stats.errors[ApiKey.FETCH, ErrorCode.NOT_LEADER_OR_FOLLOWER] == 1

    with_worker(body)


def test_who_asks_for_anothers_group_is_sent_to_its_coordinator(with_worker):
    async def codes(asker, group_id):
        protocol = JoinGroupRequestProtocol("range", b"")
        join = JoinGroupRequest(group_id=group_id, protocol_type="consumer", protocols=[protocol])
        join.session_timeout_ms = join.rebalance_timeout_ms = 10_000
        yield (await asker.ask(k11_join_group.API, 5, join)).error_code
        yield (await asker.ask(HEARTBEAT, 3, HeartbeatRequest(group_id=group_id))).error_code
        offset = OffsetCommitRequestPartition(partition_index=0, committed_offset=0)
        commit = OffsetCommitRequest(group_id=group_id)
        commit.topics = [OffsetCommitRequestTopic(name="t", partitions=[offset])]
        answer = await asker.ask(OFFSET_COMMIT, 8, commit)
        yield answer.topics[0].partitions[0].error_code
        fetch = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group_id)])
        yield (await asker.ask(OFFSET_FETCH, 8, fetch)).groups[0].error_code
        describe = DescribeGroupsRequest(groups=[group_id])
        yield (await asker.ask(DESCRIBE_GROUPS, 5, describe)).groups[0].error_code
        delete = DeleteGroupsRequest(groups_names=[group_id])
        yield (await asker.ask(DELETE_GROUPS, 2, delete)).results[0].error_code
        beat = k68_consumer_group_heartbeat.ConsumerGroupHeartbeatRequest(
            group_id=group_id, subscribed_topic_names=["t"], member_id="m", topic_partitions=[]
        )
        beat.rebalance_timeout_ms = 10_000
        yield (await asker.ask(k68_consumer_group_heartbeat.API, 1, beat)).error_code

    async def body(asker):
        theirs, mine = of_worker(2, ME.owner_of_group), of_worker(1, ME.owner_of_group)
        told = [code async for code in codes(asker, theirs)]
        assert told == [ErrorCode.NOT_COORDINATOR] * 7
        assert ErrorCode.NOT_COORDINATOR not in [code async for code in codes(asker, mine)]

    with_worker(body)


def test_who_asks_for_anothers_transactional_id_is_sent_to_its_coordinator(with_worker):
    async def codes(asker, id_):
        init = InitProducerIdRequest(transactional_id=id_, transaction_timeout_ms=1000)
        yield (await asker.ask(INIT_PRODUCER_ID, 4, init)).error_code
        end = EndTxnRequest(transactional_id=id_, producer_id=5, producer_epoch=0, committed=True)
        yield (await asker.ask(END_TXN, 3, end)).error_code
        describe = DescribeTransactionsRequest(transactional_ids=[id_])
        answer = await asker.ask(DESCRIBE_TRANSACTIONS, 0, describe)
        yield answer.transaction_states[0].error_code

    async def body(asker):
        theirs = of_worker(0, ME.owner_of_transaction)
        mine = of_worker(1, ME.owner_of_transaction)
        told = [code async for code in codes(asker, theirs)]
        assert told == [ErrorCode.NOT_COORDINATOR] * 3
        assert ErrorCode.NOT_COORDINATOR not in [code async for code in codes(asker, mine)]

    with_worker(body)


def test_assignments_are_left_to_the_workers(with_worker):
    async def body(asker):
        topic = CreatableTopic(name="u", num_partitions=-1, replication_factor=-1)
        topic.assignments = [CreatableReplicaAssignment(0, [11])]
        answer = await asker.ask(CREATE_TOPICS, 5, CreateTopicsRequest(topics=[topic]))
        assert answer.topics[0].error_code == ErrorCode.INVALID_REPLICA_ASSIGNMENT

    with_worker(body)
