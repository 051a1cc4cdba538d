import pytest

from headrace.doors.kafka.k44_incremental_alter_configs import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k32_describe_configs import ConfigResourceType
from headrace.wire.messages.k44_incremental_alter_configs import (
    ConfigOperation,
    IncrementalAlterableConfig,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)
TOPIC, BROKER = ConfigResourceType.TOPIC, ConfigResourceType.BROKER
SET, DELETE = ConfigOperation.SET, ConfigOperation.DELETE
APPEND, SUBTRACT = ConfigOperation.APPEND, ConfigOperation.SUBTRACT


def _request(*resources, validate_only: bool = False) -> IncrementalAlterConfigsRequest:
    made = [
        IncrementalAlterConfigsResource(
            kind, name, [IncrementalAlterableConfig(*change) for change in changes]
        )
        for kind, name, changes in resources
    ]
    return IncrementalAlterConfigsRequest(resources=made, validate_only=validate_only)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_named_stays(with_broker, version):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1, {"retention.ms": "5", "segment.ms": "6"})
        changes = [("segment.ms", DELETE, None), ("retention.bytes", SET, "8")]
        (response,) = (await asker.ask(API, version, _request((TOPIC, "t", changes)))).responses
        assert (response.error_code, response.resource_name) == (0, "t")
        assert topic.config.overrides == {"retention.ms": "5", "retention.bytes": "8"}

    with_broker(body)


def test_lists_are_appended_to_and_subtracted_from(with_broker):
    name = "leader.replication.throttled.replicas"

    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)

        async def alter(operation, value):
            request = _request((TOPIC, "t", [(name, operation, value)]))
            (response,) = (await asker.ask(API, 1, request)).responses
            assert response.error_code == 0, response.error_message
            return topic.config.overrides[name]

        assert await alter(APPEND, "0:1") == "0:1"
        assert await alter(APPEND, "1:1, 0:1") == "0:1,1:1"
        assert await alter(SUBTRACT, "0:1") == "1:1"

    with_broker(body)


def test_the_default_is_what_a_list_starts_from(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        changes = [("cleanup.policy", APPEND, "delete")]
        (response,) = (await asker.ask(API, 1, _request((TOPIC, "t", changes)))).responses
        assert (response.error_code, topic.config.overrides) == (0, {"cleanup.policy": "delete"})

    with_broker(body)


def test_broker_configurations_are_set_and_deleted(with_broker):
    async def body(asker):
        configs = asker.broker.configs
        changes = [("num.partitions", SET, "7"), ("log.retention.ms", SET, "8")]
        await asker.ask(API, 1, _request((BROKER, "1", changes)))
        assert configs.integer("num.partitions") == 7
        await asker.ask(API, 1, _request((BROKER, "", [("num.partitions", DELETE, None)])))
        assert configs.changed() == {"log.retention.ms": "8"}

    with_broker(body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("retention.mss", SET, "7"), ErrorCode.INVALID_CONFIG),
        (("retention.mss", DELETE, None), ErrorCode.INVALID_CONFIG),
        (("retention.ms", SET, "x"), ErrorCode.INVALID_CONFIG),
        (("retention.ms", APPEND, "7"), ErrorCode.INVALID_CONFIG),
        (("retention.ms", SET, None), ErrorCode.INVALID_REQUEST),
        (("cleanup.policy", APPEND, "archive"), ErrorCode.INVALID_CONFIG),
        (("cleanup.policy", 9, "delete"), ErrorCode.INVALID_REQUEST),
        (("segment.ms", SET, "9"), ErrorCode.INVALID_REQUEST),
    ],
)
def test_one_bad_change_refuses_all_of_its_resource(with_broker, change, code):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        await asker.broker.topics.create("u", 1)
        good = ("segment.ms", SET, "8")
        request = _request((TOPIC, "t", [good, change]), (TOPIC, "u", [good]))
        refused, fine = (await asker.ask(API, 1, request)).responses
        assert refused.error_code == code
        assert refused.error_message
        assert fine.error_code == 0
        assert topic.config.overrides == {}

    with_broker(body)


def test_validate_only_changes_nothing(with_broker):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 1)
        request = _request(
            (TOPIC, "t", [("segment.ms", SET, "8")]),
            (TOPIC, "nope", [("segment.ms", SET, "8")]),
            (BROKER, "1", [("num.partitions", SET, "8")]),
            validate_only=True,
        )
        codes = [r.error_code for r in (await asker.ask(API, 1, request)).responses]
        assert codes == [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 0]
        assert topic.config.overrides == asker.broker.configs.changed() == {}

    with_broker(body)
