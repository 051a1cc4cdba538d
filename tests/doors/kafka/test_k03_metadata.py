from uuid import uuid4

import pytest

from headrace.broker.absent_log import OfflineLog
from headrace.doors.kafka.k03_metadata import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import (
    OPERATIONS_NOT_ASKED,
    MetadataRequest,
    MetadataRequestTopic,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


def _by_name(*names: str, create: bool = False) -> MetadataRequest:
    topics = [MetadataRequestTopic(name=name) for name in names]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=create)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_names_the_broker_and_the_leader(with_broker, version):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 2)
        answer = await asker.ask(API, version, _by_name("t", create=version < 4))
        (broker,) = answer.brokers
        assert (broker.node_id, broker.host, broker.port) == (1, "127.0.0.1", 9092)
        assert answer.controller_id == (1 if version >= 1 else -1)
        assert answer.cluster_id == (asker.broker.cluster_id if version >= 2 else None)
        (found,) = answer.topics
        assert (found.error_code, found.name) == (0, "t")
        assert found.topic_id == (topic.id if version >= 10 else None)
        for index, partition in enumerate(found.partitions):
            assert (partition.error_code, partition.partition_index) == (0, index)
            assert (partition.leader_id, partition.replica_nodes) == (1, [1])
            assert (partition.isr_nodes, partition.offline_replicas) == ([1], [])
            assert version < 7 or partition.leader_epoch >= 0

    with_broker(body)


@pytest.mark.parametrize("version", VERSIONS)
def test_which_request_means_all_topics(with_broker, version):
    async def body(asker):
        await asker.broker.topics.create("a", 1)
        await asker.broker.topics.create("b", 1)
        empty = await asker.ask(API, version, MetadataRequest(topics=[]))
        assert len(empty.topics) == (2 if version == 0 else 0)
        if version > 0:
            everything = await asker.ask(API, version, MetadataRequest(topics=None))
            assert [topic.name for topic in everything.topics] == ["a", "b"]

    with_broker(body)


def test_an_unknown_topic_is_made_when_client_and_broker_agree(with_broker):
    async def body(asker):
        answer = await asker.ask(API, 9, _by_name("new", "new", "a b", create=True))
        made, refused = answer.topics
        assert (made.name, made.error_code, len(made.partitions)) == ("new", 0, 3)
        assert refused.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
        assert set(asker.broker.topics.by_name) == {"new"}
        answer = await asker.ask(API, 9, _by_name("other"))
        assert answer.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    async def not_here(asker):
        answer = await asker.ask(API, 1, _by_name("another", create=True))
        assert answer.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_broker(body, broker_configs={"num.partitions": "3"})
    with_broker(not_here, broker_configs={"auto.create.topics.enable": "false"})


@pytest.mark.parametrize("version", [10, 11, 12, 13])
def test_topics_are_found_by_id(with_broker, version):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        unknown = uuid4()
        name = None if version >= 12 else ""
        wanted = [MetadataRequestTopic(topic_id=id_, name=None) for id_ in (topic.id, unknown)]
        answer = await asker.ask(API, version, MetadataRequest(topics=wanted))
        assert [(t.error_code, t.name, t.topic_id) for t in answer.topics] == [
            (0, "t", topic.id),
            (ErrorCode.UNKNOWN_TOPIC_ID, name, unknown),
        ]

    with_broker(body)


def test_an_offline_partition_has_no_leader(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 2)
        log, topic.partitions[1].log = topic.partitions[1].log, OfflineLog("the disk is gone")
        answer = await asker.ask(API, 9, _by_name("t"))
        topic.partitions[1].log = log
        online, offline = answer.topics[0].partitions
        assert online.leader_id == 1
        assert (offline.error_code, offline.leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)
        assert (offline.isr_nodes, offline.offline_replicas) == ([], [1])

    with_broker(body)


@pytest.mark.parametrize("version", [8, 9, 10])
def test_authorised_operations_come_when_asked(with_broker, version):
    async def body(asker):
        await asker.broker.topics.create("t", 1)
        request = _by_name("t")
        answer = await asker.ask(API, version, request)
        assert answer.cluster_authorized_operations == OPERATIONS_NOT_ASKED
        assert answer.topics[0].topic_authorized_operations == OPERATIONS_NOT_ASKED
        request.include_cluster_authorized_operations = True
        request.include_topic_authorized_operations = True
        answer = await asker.ask(API, version, request)
        assert answer.cluster_authorized_operations & (1 << 8)
        assert answer.topics[0].topic_authorized_operations & (1 << 4)

    with_broker(body)
