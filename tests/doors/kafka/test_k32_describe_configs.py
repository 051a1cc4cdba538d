import pytest

from headrace.broker.broker_configs import BROKER_CONFIGS
from headrace.broker.topic_configs import TOPIC_CONFIGS
from headrace.doors.kafka.k32_describe_configs import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k32_describe_configs import (
    ConfigResourceType,
    ConfigSource,
    DescribeConfigsRequest,
    DescribeConfigsResource,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)
TOPIC, BROKER = ConfigResourceType.TOPIC, ConfigResourceType.BROKER


def _request(*resources, **options) -> DescribeConfigsRequest:
    made = [DescribeConfigsResource(kind, name, keys) for kind, name, keys in resources]
    return DescribeConfigsRequest(resources=made, **options)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_shows_every_configuration_and_its_source(with_broker, version):
    async def body(asker):
        await asker.broker.topics.create("t", 1, {"retention.ms": "5"})
        request = _request((TOPIC, "t", None), include_synonyms=True)
        if version >= 3:
            request.include_documentation = True
        (result,) = (await asker.ask(API, version, request)).results
        assert (result.error_code, result.resource_type, result.resource_name) == (0, 2, "t")
        configs = {config.name: config for config in result.configs}
        assert set(configs) == set(TOPIC_CONFIGS)
        own, default = configs["retention.ms"], configs["segment.ms"]
        assert (own.value, own.config_source) == ("5", ConfigSource.TOPIC)
        assert default.config_source == ConfigSource.DEFAULT
        assert configs["retention.bytes"].config_source == ConfigSource.STATIC_BROKER
        assert [synonym.name for synonym in own.synonyms] == ["retention.ms", "log.retention.ms"]
        if version >= 3:
            assert own.config_type == 5
            assert "how long records are kept" in own.documentation.lower()

    with_broker(body, topic_configs={"retention.bytes": "9"})


def test_synonyms_and_documentation_come_only_when_asked(with_broker):
    async def body(asker):
        await asker.broker.topics.create("t", 1)
        (result,) = (await asker.ask(API, 4, _request((TOPIC, "t", None)))).results
        assert all(not c.synonyms and c.documentation is None for c in result.configs)

    with_broker(body)


def test_named_configurations_only(with_broker):
    async def body(asker):
        await asker.broker.topics.create("t", 1)
        request = _request((TOPIC, "t", ["segment.ms", "nobody.knows"]), (BROKER, "1", []))
        some, none = (await asker.ask(API, 4, request)).results
        assert [config.name for config in some.configs] == ["segment.ms"]
        assert none.configs == []

    with_broker(body)


def test_the_broker_shows_what_it_is_and_what_it_was_told(with_broker):
    async def body(asker):
        await asker.broker.configs.alter(lambda c: {"log.retention.ms": "6"})
        request = _request((BROKER, "1", None), (BROKER, "", None))
        broker, all_brokers = (await asker.ask(API, 4, request)).results
        configs = {config.name: config for config in broker.configs}
        assert set(configs) == set(BROKER_CONFIGS)
        assert (configs["node.id"].value, configs["node.id"].read_only) == ("1", True)
        assert configs["advertised.listeners"].value == "PLAINTEXT://127.0.0.1:9092"
        assert configs["num.partitions"].config_source == ConfigSource.STATIC_BROKER
        assert configs["log.retention.ms"].config_source == ConfigSource.DYNAMIC_BROKER
        assert [(c.name, c.value, c.config_source) for c in all_brokers.configs] == [
            ("log.retention.ms", "6", ConfigSource.DYNAMIC_DEFAULT_BROKER)
        ]

    with_broker(body, broker_configs={"num.partitions": "2"})


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER, "one", ErrorCode.INVALID_REQUEST),
        (ConfigResourceType.BROKER_LOGGER, "1", ErrorCode.INVALID_REQUEST),
        (99, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_does_not_exist_is_refused_alone(with_broker, kind, name, code):
    async def body(asker):
        request = _request((kind, name, None), (BROKER, "1", None))
        refused, fine = (await asker.ask(API, 4, request)).results
        assert refused.error_code == code
        assert refused.error_message
        assert fine.error_code == 0

    with_broker(body)
