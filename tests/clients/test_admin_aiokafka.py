"""The administrators' road of aiokafka."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType


@pytest.fixture
def with_admin(broker):
    """Run `body(admin)` with a started client."""

    def run(body):
        async def started():
            admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
            await admin.start()
            try:
                await body(admin)
            finally:
                await admin.close()

        return asyncio.run(started())

    return run


def test_a_topic_lives_its_life(with_admin):
    async def body(admin):
        made = await admin.create_topics([NewTopic("t", 3, 1)])
        assert made.topic_errors == [("t", 0, None)]
        ((_, code, message),) = (await admin.create_topics([NewTopic("t", 3, 1)])).topic_errors
        assert code == errors.TopicAlreadyExistsError.errno
        assert message
        grown = await admin.create_partitions({"t": NewPartitions(5)})
        assert grown.topic_errors == [("t", 0, None)]
        (described,) = await admin.describe_topics(["t"])
        assert [partition["leader"] for partition in described["partitions"]] == [1] * 5
        assert await admin.list_topics() == ["t"]
        assert (await admin.delete_topics(["t"])).topic_error_codes == [("t", 0)]
        assert await admin.list_topics() == []
        ((_, code),) = (await admin.delete_topics(["t"])).topic_error_codes
        assert code == errors.UnknownTopicOrPartitionError.errno

    with_admin(body)


def test_configurations_are_described_and_changed(with_admin):
    async def body(admin):
        await admin.create_topics([NewTopic("t", 1, 1)])
        change = ConfigResource(ConfigResourceType.TOPIC, "t", {"retention.ms": "1000"})
        (changed,) = await admin.alter_configs([change])
        assert changed.resources == [(0, None, 2, "t")]
        resource = ConfigResource(ConfigResourceType.TOPIC, "t")
        (described,) = await admin.describe_configs([resource], include_synonyms=True)
        ((code, _, _, _, entries),) = described.resources
        assert code == 0
        values = {entry[0]: entry[1] for entry in entries}
        assert values["retention.ms"] == "1000"
        assert values["segment.ms"] == "604800000"

    with_admin(body)


def test_the_broker_is_described(broker, with_admin):
    async def body(admin):
        cluster = await admin.describe_cluster()
        assert (cluster["controller_id"], len(cluster["cluster_id"])) == (1, 22)
        assert [node["port"] for node in cluster["brokers"]] == [broker.port]

    with_admin(body)


def test_records_are_deleted(broker, with_admin):
    async def body(admin):
        await admin.create_topics([NewTopic("t", 1, 1)])
        partition = TopicPartition("t", 0)
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            for number in range(10):
                await producer.send_and_wait("t", b"%d" % number, partition=0)
        assert await admin.delete_records({partition: RecordsToDelete(4)}) == {partition: 4}

    with_admin(body)
