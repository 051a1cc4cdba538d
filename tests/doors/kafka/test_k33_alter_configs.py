import pytest

from headrace.doors.kafka.k33_alter_configs import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k32_describe_configs import ConfigResourceType
from headrace.wire.messages.k33_alter_configs import (
    AlterableConfig,
    AlterConfigsRequest,
    AlterConfigsResource,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)
TOPIC, BROKER = ConfigResourceType.TOPIC, ConfigResourceType.BROKER


def _request(*resources, validate_only: bool = False) -> AlterConfigsRequest:
    made = [
        AlterConfigsResource(kind, name, [AlterableConfig(*config) for config in configs])
        for kind, name, configs in resources
    ]
    return AlterConfigsRequest(resources=made, validate_only=validate_only)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_named_goes_back_to_its_default(with_broker, version):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1, {"retention.ms": "5", "segment.ms": "6"})
        request = _request((TOPIC, "t", [("segment.ms", "7")]))
        (response,) = (await asker.ask(API, version, request)).responses
        assert (response.error_code, response.error_message) == (0, None)
        assert (response.resource_type, response.resource_name) == (2, "t")
        assert topic.config.overrides == {"segment.ms": "7"}

    with_broker(body)


@pytest.mark.parametrize("name", ["", "1"])
def test_broker_configurations_are_changed_for_good(with_broker, name):
    async def body(asker):
        request = _request((BROKER, name, [("num.partitions", "7")]))
        (response,) = (await asker.ask(API, 2, request)).responses
        assert response.error_code == 0

    async def restarted(asker):
        assert asker.broker.configs.integer("num.partitions") == 7

    with_broker(body)
    with_broker(restarted)


def test_validate_only_changes_nothing(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        request = _request(
            (TOPIC, "t", [("segment.ms", "7")]),
            (BROKER, "1", [("num.partitions", "7")]),
            (BROKER, "", [("num.partitions", "x")]),
            validate_only=True,
        )
        codes = [r.error_code for r in (await asker.ask(API, 2, request)).responses]
        assert codes == [0, 0, ErrorCode.INVALID_CONFIG]
        assert topic.config.overrides == {}
        assert asker.broker.configs.changed() == {}

    with_broker(body)


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ((TOPIC, "t", [("retention.mss", "7")]), ErrorCode.INVALID_CONFIG),
        ((TOPIC, "t", [("retention.ms", "x")]), ErrorCode.INVALID_CONFIG),
        ((TOPIC, "t", [("retention.ms", None)]), ErrorCode.INVALID_REQUEST),
        ((TOPIC, "t", [("segment.ms", "1"), ("segment.ms", "2")]), ErrorCode.INVALID_REQUEST),
        ((TOPIC, "nope", []), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ((TOPIC, "a b", []), ErrorCode.INVALID_TOPIC_EXCEPTION),
        ((BROKER, "1", [("node.id", "2")]), ErrorCode.INVALID_CONFIG),
        ((BROKER, "2", []), ErrorCode.INVALID_REQUEST),
        ((ConfigResourceType.BROKER_LOGGER, "1", []), ErrorCode.INVALID_REQUEST),
    ],
)
def test_a_bad_change_is_refused_with_a_reason_and_alone(with_broker, resource, code):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1, {"segment.ms": "5"})
        await asker.broker.topics.create("u", 1)
        request = _request(resource, (TOPIC, "u", [("segment.ms", "7")]))
        refused, fine = (await asker.ask(API, 2, request)).responses
        assert refused.error_code == code
        assert refused.error_message
        assert fine.error_code == 0
        assert topic.config.overrides == {"segment.ms": "5"}

    with_broker(body)


def test_a_resource_that_occurs_twice_is_refused_once(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        request = _request((TOPIC, "t", [("segment.ms", "7")]), (TOPIC, "t", []))
        (response,) = (await asker.ask(API, 2, request)).responses
        assert response.error_code == ErrorCode.INVALID_REQUEST
        assert topic.config.overrides == {}

    with_broker(body)
