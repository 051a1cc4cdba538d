"""Which topics a share group may name for its dead letters."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.admin_configs import (
    ConfigChange,
    Resource,
    amend_configs,
    describe_configs,
    replace_configs,
)
from headrace.broker.broker import Broker, BrokerOptions
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigResourceType
from headrace.wire.messages.k44_incremental_alter_configs import ConfigOperation

ALLOWED = "errors.deadletterqueue.group.enable"
AUTO_CREATE = "errors.deadletterqueue.auto.create.topics.enable"
PREFIX = "errors.deadletterqueue.topic.name.prefix"
NAME = "errors.deadletterqueue.topic.name"
COPY = "errors.deadletterqueue.copy.record.enable"
GROUP = Resource(ConfigResourceType.GROUP, "g")
BROKER = Resource(ConfigResourceType.BROKER, "")


@pytest.fixture
def with_broker(tmp_path: Path) -> Callable[..., Any]:
    """Each call opens the same data directory anew."""

    def run(body: Callable[[Broker], Coroutine[Any, Any, Any]], **configs: str) -> Any:
        async def opened() -> Any:
            options = BrokerOptions(str(tmp_path / "data"), "os", broker_configs=configs)
            broker = await Broker.open(options)
            try:
                return await body(broker)
            finally:
                await broker.close()

        return asyncio.run(opened())

    return run


async def change(broker: Broker, resource: Resource, **values: str | None) -> None:
    changes = [
        ConfigChange(name, ConfigOperation.DELETE if value is None else ConfigOperation.SET, value)
        for name, value in values.items()
    ]
    for validate_only in (True, False):
        await amend_configs(broker, resource, changes, validate_only=validate_only)


async def refused(broker: Broker, resource: Resource, **values: str) -> str:
    with pytest.raises(RequestError) as caught:
        await change(broker, resource, **values)
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    with pytest.raises(RequestError) as replaced:
        await replace_configs(broker, resource, list(values.items()), validate_only=False)
    assert replaced.value.message == caught.value.message
    return caught.value.message


def test_defaults_are_those_of_the_kip(with_broker) -> None:
    async def body(broker: Broker) -> None:
        await broker.topics.create("t", 1)
        topic = describe_configs(broker, Resource(ConfigResourceType.TOPIC, "t"), [ALLOWED])
        own = Resource(ConfigResourceType.BROKER, str(broker.node_id))
        found = [
            *describe_configs(broker, GROUP, [NAME, COPY]),
            *describe_configs(broker, own, [AUTO_CREATE, PREFIX]),
            *topic,
        ]
        assert {entry.config.name: entry.value for entry in found} == {
            NAME: "",
            COPY: "false",
            AUTO_CREATE: "false",
            PREFIX: "dlq.",
            ALLOWED: "false",
        }

    with_broker(body)


def test_a_group_names_a_topic_that_takes_dead_letters_and_keeps_it(with_broker) -> None:
    async def name_it(broker: Broker) -> None:
        await broker.topics.create("dlq.t", 1, {ALLOWED: "true"})
        await change(broker, GROUP, **{NAME: "dlq.t", COPY: "true"})

    async def look(broker: Broker) -> None:
        assert broker.group_configs.text("g", NAME) == "dlq.t"
        assert broker.group_configs.boolean("g", COPY)
        # What is named already stays, whatever becomes of it; other values can still be changed.
        await broker.topics.delete("dlq.t")
        await change(broker, GROUP, **{COPY: "false"})
        assert not broker.group_configs.boolean("g", COPY)
        await change(broker, GROUP, **{NAME: None})
        assert not broker.dead_letters.wanted_by("g")

    with_broker(name_it)
    with_broker(look)


def test_a_topic_that_takes_no_dead_letters_is_refused_by_name(with_broker) -> None:
    async def body(broker: Broker) -> None:
        await broker.topics.create("dlq.closed", 1)
        await broker.topics.create("t", 1, {ALLOWED: "true"})
        assert f"{ALLOWED} is false" in await refused(broker, GROUP, **{NAME: "dlq.closed"})
        assert "'dlq.new' does not exist" in await refused(broker, GROUP, **{NAME: "dlq.new"})
        assert "does not begin with 'dlq.'" in await refused(broker, GROUP, **{NAME: "t"})
        assert "is internal" in await refused(broker, GROUP, **{NAME: "__dlq"})
        assert "no topic name" in await refused(broker, GROUP, **{NAME: "dlq.\N{SNOWMAN}"})
        assert "must be true or false" in await refused(broker, GROUP, **{COPY: "maybe"})
        assert not broker.dead_letters.wanted_by("g")

    with_broker(body)


def test_prefix_and_auto_create_are_changed_while_the_broker_runs(with_broker) -> None:
    async def body(broker: Broker) -> None:
        await change(broker, BROKER, **{PREFIX: "", AUTO_CREATE: "true"})
        await change(broker, GROUP, **{NAME: "wherever"})
        assert broker.group_configs.text("g", NAME) == "wherever"
        assert "is internal" in await refused(broker, GROUP, **{NAME: "__other"})

    with_broker(body)
