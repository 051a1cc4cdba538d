"""Groups as administrators' clients see and change them."""

import asyncio
import contextlib

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

PARTITIONS = 2


@pytest.fixture
def groups(broker, reader, write, all_read):
    """A broker with group `active` (one member, static) and group `plain` (commits alone)."""
    broker.create_topic("t", PARTITIONS)
    write(broker, 0, 20)
    all_read([reader("confluent", broker, "active", instance="i")], 20)
    config = {"bootstrap.servers": broker.bootstrap, "group.id": "plain", "log_level": 3}
    consumer = Consumer(config)
    offsets = [TopicPartition("t", 0, 4, metadata="note"), TopicPartition("t", 1, 5)]
    for committed in consumer.commit(offsets=offsets, asynchronous=False):
        assert committed.error is None
    consumer.close()
    return broker


def test_confluent_lists_describes_and_deletes(groups):
    admin = AdminClient({"bootstrap.servers": groups.bootstrap})
    listed = admin.list_consumer_groups().result(10).valid
    assert {group.group_id: group.state for group in listed} == {
        "active": ConsumerGroupState.STABLE,
        "plain": ConsumerGroupState.EMPTY,
    }
    active = admin.describe_consumer_groups(["active"])["active"].result(10)
    assert (active.state, active.partition_assignor) == (ConsumerGroupState.STABLE, "range")
    (member,) = active.members
    assert member.group_instance_id == "i"
    assert {p.partition for p in member.assignment.topic_partitions} == {0, 1}
    deleted = admin.delete_consumer_groups(["plain", "active", "none"])
    assert deleted["plain"].result(10) is None
    for group, code in (
        ("active", KafkaError.NON_EMPTY_GROUP),
        ("none", KafkaError.GROUP_ID_NOT_FOUND),
    ):
        with pytest.raises(KafkaException) as refused:
            deleted[group].result(10)
        assert refused.value.args[0].code() == code


def test_confluent_reads_and_resets_offsets(groups):
    admin = AdminClient({"bootstrap.servers": groups.bootstrap})

    def offsets():
        request = [ConsumerGroupTopicPartitions("plain")]
        found = admin.list_consumer_group_offsets(request)["plain"].result(10)
        return {
            partition.partition: (partition.offset, partition.metadata)
            for partition in found.topic_partitions
        }

    assert offsets() == {0: (4, "note"), 1: (5, None)}
    reset = ConsumerGroupTopicPartitions("plain", [TopicPartition("t", 0, 1)])
    admin.alter_consumer_group_offsets([reset])["plain"].result(10)
    assert offsets()[0][0] == 1
    refused = ConsumerGroupTopicPartitions("active", [TopicPartition("t", 0, 0)])
    answer = admin.alter_consumer_group_offsets([refused])["active"].result(10)
    assert answer.topic_partitions[0].error.code() == KafkaError.UNKNOWN_MEMBER_ID


def test_kafka_python_lists_describes_and_deletes(groups):
    from kafka import TopicPartition as Partition
    from kafka.admin import KafkaAdminClient
    from kafka.structs import OffsetAndMetadata

    with contextlib.closing(KafkaAdminClient(bootstrap_servers=groups.bootstrap)) as admin:
        assert {group["group_id"] for group in admin.list_groups()} == {"active", "plain"}
        assert [g["group_id"] for g in admin.list_groups(states_filter=["Stable"])] == ["active"]
        described = admin.describe_groups(["active"])["active"]
        assert described["group_state"] == "Stable"
        offsets = admin.list_group_offsets(["plain", "active"])
        assert offsets["plain"][Partition("t", 0)].offset == 4
        assert sum(committed.offset for committed in offsets["active"].values()) in range(21)
        reset = {Partition("t", 0): OffsetAndMetadata(2, "", -1)}
        admin.alter_group_offsets("plain", reset)
        assert admin.list_group_offsets(["plain"])["plain"][Partition("t", 0)].offset == 2
        admin.delete_groups(["plain"])
        assert {group["group_id"] for group in admin.list_groups()} == {"active"}


def test_aiokafka_lists_and_describes(groups):
    from aiokafka.admin import AIOKafkaAdminClient

    async def ask():
        admin = AIOKafkaAdminClient(bootstrap_servers=groups.bootstrap)
        await admin.start()
        try:
            assert {group[0] for group in await admin.list_consumer_groups()} == {
                "active",
                "plain",
            }
            (described,) = await admin.describe_consumer_groups(["active"])
            assert described.groups[0][2] == "Stable"
            offsets = await admin.list_consumer_group_offsets("plain")
            assert {p.partition: found.offset for p, found in offsets.items()} == {0: 4, 1: 5}
        finally:
            await admin.close()

    asyncio.run(ask())


def test_kafka_python_deletes_offsets(groups):
    from kafka import TopicPartition as Partition
    from kafka.admin import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(bootstrap_servers=groups.bootstrap)) as admin:
        gone = admin.delete_group_offsets("plain", [Partition("t", 0)])
        assert "NoError" in str(gone)
        assert set(admin.list_group_offsets(["plain"])["plain"]) == {Partition("t", 1)}
        refused = admin.delete_group_offsets("active", [Partition("t", 0)])
        assert "GroupSubscribedToTopic" in str(refused)
