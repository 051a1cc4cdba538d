"""The administrators' road of kafka-python."""

import pytest
from kafka import KafkaProducer, TopicPartition, errors
from kafka.admin import (
    ConfigResource,
    ConfigResourceType,
    KafkaAdminClient,
    NewPartitions,
    NewTopic,
)


@pytest.fixture
def admin(broker):
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield client
    client.close()


def test_a_topic_lives_its_life(admin):
    admin.create_topics([NewTopic("t", 3, 1, topic_configs={"retention.ms": "86400000"})])
    (described,) = admin.describe_topics(["t"])
    assert [partition["leader_id"] for partition in described["partitions"]] == [1, 1, 1]
    with pytest.raises(errors.TopicAlreadyExistsError):
        admin.create_topics([NewTopic("t", 3, 1)])
    admin.create_partitions({"t": NewPartitions(5)})
    (described,) = admin.describe_topics(["t"])
    assert len(described["partitions"]) == 5
    with pytest.raises(errors.InvalidPartitionsError):
        admin.create_partitions({"t": NewPartitions(2)})
    assert admin.list_topics() == ["t"]
    admin.delete_topics(["t"])
    assert admin.list_topics() == []
    with pytest.raises(errors.UnknownTopicOrPartitionError):
        admin.delete_topics(["t"])


def test_configurations_are_described_and_changed(admin):
    admin.create_topics([NewTopic("t", 1, 1)])
    changed = ConfigResource(ConfigResourceType.TOPIC, "t", {"retention.ms": "1000"})
    asked = ConfigResource(ConfigResourceType.TOPIC, "t")
    admin.alter_configs([changed])
    modified = admin.describe_configs([asked], include_synonyms=True)["topic"]["t"]
    assert {name: entry["value"] for name, entry in modified.items()} == {"retention.ms": "1000"}
    everything = admin.describe_configs([asked], config_filter="all")["topic"]["t"]
    assert everything["segment.ms"]["config_source"] == "DEFAULT_CONFIG"
    admin.reset_configs([changed])
    assert admin.describe_configs([asked])["topic"]["t"] == {}


def test_the_broker_is_described(broker, admin):
    cluster = admin.describe_cluster()
    assert cluster["controller_id"] == 1
    assert [node["port"] for node in cluster["brokers"]] == [broker.port]
    assert "ALTER_CONFIGS" in cluster["authorized_operations"]
    (node,) = admin.describe_log_dirs()
    (directory,) = node["log_dirs"]
    assert directory["log_dir"] == broker.data_dir
    assert 0 < directory["usable_bytes"] <= directory["total_bytes"]
    resource = ConfigResource(ConfigResourceType.BROKER, "1")
    entries = admin.describe_configs([resource], config_filter="all")["broker"]["1"]
    assert entries["node.id"]["read_only"]


def test_records_are_deleted(broker, admin):
    admin.create_topics([NewTopic("t", 1, 1)])
    partition = TopicPartition("t", 0)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for number in range(10):
        producer.send("t", b"%d" % number, partition=0).get(10)
    producer.close()
    assert admin.delete_records({partition: 4})[partition]["low_watermark"] == 4
