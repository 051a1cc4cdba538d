import pytest

from headrace.doors.kafka.k37_create_partitions import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k37_create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


def _request(*topics, validate_only: bool = False) -> CreatePartitionsRequest:
    made = [
        CreatePartitionsTopic(
            name, count, None if replicas is None else [*map(CreatePartitionsAssignment, replicas)]
        )
        for name, count, replicas in topics
    ]
    return CreatePartitionsRequest(topics=made, validate_only=validate_only)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_grows(with_broker, version):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        (result,) = (await asker.ask(API, version, _request(("t", 3, None)))).results
        assert (result.name, result.error_code, result.error_message) == ("t", 0, None)
        assert len(topic.partitions) == 3

    async def restarted(asker):
        assert len(asker.broker.topics.get("t").partitions) == 3

    with_broker(body)
    with_broker(restarted)


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (("t", 2, None), ErrorCode.INVALID_PARTITIONS),
        (("t", 1, None), ErrorCode.INVALID_PARTITIONS),
        (("t", 20_000, None), ErrorCode.INVALID_PARTITIONS),
        (("nope", 3, None), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (("a b", 3, None), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (("t", 3, []), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (("t", 3, [[2]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (("t", 3, [[1], [1]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_a_bad_growth_is_refused_with_a_reason_and_alone(with_broker, topic, code):
    async def body(asker):
        await asker.broker.topics.create("t", 2)
        await asker.broker.topics.create("u", 2)
        request = _request(topic, ("u", 3, [[1]]))
        refused, fine = (await asker.ask(API, 3, request)).results
        assert refused.error_code == code
        assert refused.error_message
        assert fine.error_code == 0
        assert len(asker.broker.topics.get("t").partitions) == 2

    with_broker(body)


def test_validate_only_and_names_that_occur_twice_change_nothing(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        (result,) = (await asker.ask(API, 3, _request(("t", 3, None), validate_only=True))).results
        assert result.error_code == 0
        request = _request(("t", 3, None), ("t", 4, None))
        (result,) = (await asker.ask(API, 3, request)).results
        assert result.error_code == ErrorCode.INVALID_REQUEST
        assert len(topic.partitions) == 1

    with_broker(body)
