from uuid import uuid4

import pytest

from headrace.doors.kafka.k20_delete_topics import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k20_delete_topics import DeleteTopicsRequest, DeleteTopicState

VERSIONS = range(API.versions[0], API.versions[1] + 1)


def _by_name(version: int, *names: str) -> DeleteTopicsRequest:
    if version < 6:
        return DeleteTopicsRequest(topic_names=list(names))
    return DeleteTopicsRequest(topics=[DeleteTopicState(name=name) for name in names])


@pytest.mark.parametrize("version", VERSIONS)
def test_topics_are_deleted_by_name_each_alone(with_broker, version):
    async def body(asker):
        await asker.broker.topics.create("a", 2)
        await asker.broker.topics.create("b", 1)
        answer = await asker.ask(API, version, _by_name(version, "a", "nope", "b", "b"))
        assert [(r.name, r.error_code) for r in answer.responses] == [
            ("a", 0),
            ("nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            ("b", ErrorCode.INVALID_REQUEST),
        ]
        assert set(asker.broker.topics.by_name) == {"b"}

    with_broker(body)


def test_topics_are_deleted_by_id(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("a", 1)
        unknown = uuid4()
        wanted = [
            DeleteTopicState(topic_id=topic.id),
            DeleteTopicState(topic_id=unknown),
            DeleteTopicState(),
            DeleteTopicState(name="a", topic_id=topic.id),
        ]
        answer = await asker.ask(API, 6, DeleteTopicsRequest(topics=wanted))
        assert [(r.name, r.topic_id, r.error_code) for r in answer.responses] == [
            ("a", topic.id, 0),
            (None, unknown, ErrorCode.UNKNOWN_TOPIC_ID),
            (None, None, ErrorCode.INVALID_REQUEST),
            ("a", topic.id, ErrorCode.INVALID_REQUEST),
        ]

    with_broker(body)


def test_deletion_can_be_forbidden(with_broker):
    async def body(asker):
        await asker.broker.topics.create("a", 1)
        answer = await asker.ask(API, 6, _by_name(6, "a"))
        assert answer.responses[0].error_code == ErrorCode.TOPIC_DELETION_DISABLED
        assert "a" in asker.broker.topics.by_name

    with_broker(body, broker_configs={"delete.topic.enable": "false"})
