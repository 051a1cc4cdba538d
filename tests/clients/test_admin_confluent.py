"""The administrators' road of librdkafka, through confluent-kafka's AdminClient."""

import uuid

import pytest
from confluent_kafka import (
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

TIMEOUT_S = 20


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.bootstrap})


def _wait(futures: dict) -> list:
    return [future.result(TIMEOUT_S) for future in futures.values()]


def _code(futures: dict) -> int:
    with pytest.raises(KafkaException) as caught:
        _wait(futures)
    assert caught.value.args[0].str()
    return caught.value.args[0].code()


def _config(admin, kind: ResourceType, name: str) -> dict[str, ConfigEntry]:
    (entries,) = _wait(admin.describe_configs([ConfigResource(kind, name)]))
    return entries


def _alter(admin, name: str, *entries: ConfigEntry) -> None:
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=list(entries))
    _wait(admin.incremental_alter_configs([resource]))


def _set(name: str, value: str | None, operation: AlterConfigOpType) -> ConfigEntry:
    return ConfigEntry(name, value, incremental_operation=operation)


def test_a_topic_lives_its_life(admin):
    _wait(admin.create_topics([NewTopic("t", 3, 1, config={"retention.ms": "86400000"})]))
    metadata = admin.list_topics("t", TIMEOUT_S)
    assert {p.leader for p in metadata.topics["t"].partitions.values()} == {1}
    assert metadata.cluster_id
    (described,) = _wait(admin.describe_topics(TopicCollection(["t"])))
    assert (described.name, len(described.partitions)) == ("t", 3)
    first_id = str(described.topic_id)

    assert _code(admin.create_topics([NewTopic("t", 3, 1)])) == KafkaError.TOPIC_ALREADY_EXISTS
    _wait(admin.create_partitions([NewPartitions("t", 5)]))
    assert len(admin.list_topics("t", TIMEOUT_S).topics["t"].partitions) == 5
    assert _code(admin.create_partitions([NewPartitions("t", 5)])) == KafkaError.INVALID_PARTITIONS

    _wait(admin.delete_topics(["t"]))
    assert "t" not in admin.list_topics(timeout=TIMEOUT_S).topics
    assert _code(admin.delete_topics(["t"])) == KafkaError.UNKNOWN_TOPIC_OR_PART
    _wait(admin.create_topics([NewTopic("t")]))
    (described,) = _wait(admin.describe_topics(TopicCollection(["t"])))
    assert str(described.topic_id) != first_id


def test_bad_topics_are_refused_with_kafkas_codes(admin):
    refusals = [
        (NewTopic("a b", 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic("t", 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
        (NewTopic("t", 20_000, 1), KafkaError.INVALID_PARTITIONS),
        (NewTopic("t", 1, 1, config={"retention.mss": "1"}), KafkaError.INVALID_CONFIG),
        (NewTopic("t", 1, 1, config={"cleanup.policy": "compress"}), KafkaError.INVALID_CONFIG),
        (NewTopic("t", 2, replica_assignment=[[1], [2]]), KafkaError.INVALID_REPLICA_ASSIGNMENT),
    ]
    for topic, code in refusals:
        assert _code(admin.create_topics([topic])) == code, topic
    _wait(admin.create_topics([NewTopic("t", 2, 1)], validate_only=True))
    assert admin.list_topics(timeout=TIMEOUT_S).topics == {}


def test_configurations_are_described_and_changed(admin):
    _wait(admin.create_topics([NewTopic("t", 1, 1)]))
    entries = _config(admin, ResourceType.TOPIC, "t")
    assert entries["retention.ms"].value == "604800000"
    assert entries["retention.ms"].source == ConfigSource.DEFAULT_CONFIG.value
    assert {"segment.bytes", "cleanup.policy", "headrace.retain"} <= set(entries)

    _alter(
        admin,
        "t",
        _set("retention.ms", "1000", AlterConfigOpType.SET),
        _set("cleanup.policy", "delete", AlterConfigOpType.APPEND),
    )
    entries = _config(admin, ResourceType.TOPIC, "t")
    assert entries["retention.ms"].value == "1000"
    assert entries["retention.ms"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert set(entries["retention.ms"].synonyms) == {"retention.ms", "log.retention.ms"}
    _alter(admin, "t", _set("retention.ms", None, AlterConfigOpType.DELETE))
    assert _config(admin, ResourceType.TOPIC, "t")["retention.ms"].value == "604800000"


def test_the_old_way_of_changing_configurations_replaces_them(admin):
    _wait(admin.create_topics([NewTopic("t", 1, 1, config={"retention.ms": "1000"})]))
    resource = ConfigResource(ResourceType.TOPIC, "t", set_config={"segment.ms": "2000"})
    with pytest.warns(DeprecationWarning, match="alter_configs"):
        _wait(admin.alter_configs([resource]))
    entries = _config(admin, ResourceType.TOPIC, "t")
    assert (entries["segment.ms"].value, entries["retention.ms"].value) == ("2000", "604800000")


def test_the_broker_is_described(admin):
    entries = _config(admin, ResourceType.BROKER, "1")
    assert entries["node.id"].value == "1"
    assert entries["node.id"].is_read_only
    cluster = admin.describe_cluster(include_authorized_operations=True).result(TIMEOUT_S)
    assert (cluster.controller.id, [node.id for node in cluster.nodes]) == (1, [1])
    assert cluster.authorized_operations


def test_records_are_deleted(broker, admin):
    _wait(admin.create_topics([NewTopic("t", 1, 1)]))
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for number in range(10):
        producer.produce("t", b"%d" % number, partition=0)
        producer.flush(TIMEOUT_S)
    deleted = _wait(admin.delete_records([TopicPartition("t", 0, 4)]))
    assert [partition.low_watermark for partition in deleted] == [4]
    offsets = _wait(admin.list_offsets({TopicPartition("t", 0): OffsetSpec.earliest()}))
    assert [offset.offset for offset in offsets] == [4]


def test_a_producer_makes_the_topic_that_it_needs(broker, admin):
    name = f"made-{uuid.uuid4().hex}"
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    delivered = []
    producer.produce(name, b"v", callback=lambda error, _: delivered.append(error))
    assert producer.flush(TIMEOUT_S) == 0
    assert delivered == [None]
    assert name in admin.list_topics(timeout=TIMEOUT_S).topics
