import pytest

from headrace.doors.kafka.k19_create_topics import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k19_create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


def _topic(name: str, count: int = 1, factor: int = 1, configs=(), assignments=()):
    return CreatableTopic(
        name,
        count,
        factor,
        [CreatableReplicaAssignment(*assignment) for assignment in assignments],
        [CreatableTopicConfig(*config) for config in configs],
    )


def _request(*topics: CreatableTopic, validate_only: bool = False) -> CreateTopicsRequest:
    return CreateTopicsRequest(topics=list(topics), validate_only=validate_only)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_is_made_and_described(with_broker, version):
    async def body(asker):
        wanted = _topic("t", 3, configs=[("retention.ms", "77")])
        (result,) = (await asker.ask(API, version, _request(wanted))).topics
        topic = asker.broker.topics.get("t")
        assert (result.name, result.error_code, result.error_message) == ("t", 0, None)
        assert len(topic.partitions) == 3
        assert topic.config.log.retention_ms == 77
        assert result.topic_id == (topic.id if version >= 7 else None)
        if version >= 5:
            assert (result.num_partitions, result.replication_factor) == (3, 1)
            configs = {config.name: config for config in result.configs}
            assert configs["retention.ms"].value == "77"
            assert configs["retention.ms"].config_source == 1
            assert configs["segment.ms"].config_source == 5

    with_broker(body)


def test_validate_only_makes_nothing(with_broker):
    async def body(asker):
        request = _request(_topic("t", -1, -1), _topic("a b"), validate_only=True)
        fine, refused = (await asker.ask(API, 7, request)).topics
        assert (fine.error_code, fine.num_partitions, fine.topic_id) == (0, 4, None)
        assert refused.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
        assert asker.broker.topics.by_name == {}

    with_broker(body, broker_configs={"num.partitions": "4"})


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (_topic(""), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (_topic("there"), ErrorCode.TOPIC_ALREADY_EXISTS),
        (_topic("t", 0), ErrorCode.INVALID_PARTITIONS),
        (_topic("t", -2), ErrorCode.INVALID_PARTITIONS),
        (_topic("t", 10_001), ErrorCode.INVALID_PARTITIONS),
        (_topic("t", 1, 0), ErrorCode.INVALID_REPLICATION_FACTOR),
        (_topic("t", 1, 3), ErrorCode.INVALID_REPLICATION_FACTOR),
        (_topic("t", configs=[("retention.mss", "1")]), ErrorCode.INVALID_CONFIG),
        (_topic("t", configs=[("retention.ms", None)]), ErrorCode.INVALID_CONFIG),
        (_topic("t", configs=[("cleanup.policy", "compress")]), ErrorCode.INVALID_CONFIG),
        (
            _topic("t", configs=[("segment.ms", "1"), ("segment.ms", "2")]),
            ErrorCode.INVALID_REQUEST,
        ),
        (_topic("t", 1, -1, assignments=[(0, [1])]), ErrorCode.INVALID_REQUEST),
        (_topic("t", -1, -1, assignments=[(0, [2])]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (_topic("t", -1, -1, assignments=[(0, [1, 2])]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (_topic("t", -1, -1, assignments=[(1, [1])]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (
            _topic("t", -1, -1, assignments=[(0, [1]), (0, [1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
    ],
)
def test_a_bad_topic_is_refused_with_a_reason_and_alone(with_broker, topic, code):
    async def body(asker):
        await asker.broker.topics.create("there", 1)
        refused, fine = (await asker.ask(API, 7, _request(topic, _topic("fine")))).topics
        assert (refused.name, refused.error_code) == (topic.name, code)
        assert refused.error_message
        assert fine.error_code == 0
        assert set(asker.broker.topics.by_name) == {"there", "fine"}

    with_broker(body)


def test_assigned_partitions_are_made(with_broker):
    async def body(asker):
        topic = _topic("t", -1, -1, assignments=[(1, [1]), (0, [1])])
        (result,) = (await asker.ask(API, 7, _request(topic))).topics
        assert (result.error_code, result.num_partitions) == (0, 2)

    with_broker(body)


def test_a_name_that_occurs_twice_is_refused_once(with_broker):
    async def body(asker):
        results = (await asker.ask(API, 7, _request(_topic("t"), _topic("t"), _topic("u")))).topics
        assert [(r.name, r.error_code) for r in results] == [
            ("t", ErrorCode.INVALID_REQUEST),
            ("u", 0),
        ]
        assert set(asker.broker.topics.by_name) == {"u"}

    with_broker(body)
